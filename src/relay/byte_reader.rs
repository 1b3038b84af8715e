//! Reads numbers and fields with a length off the front of bytes, for the parsers of what clients
//! send first. Numbers are in network order.

/// Bytes that are not read yet. Each method returns `None`, and reads nothing further, where there
/// are too few.
#[derive(Debug, Clone, Copy)]
pub(super) struct ByteReader<'a>(&'a [u8]);

impl<'a> ByteReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> ByteReader<'a> {
        ByteReader(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of bytes that are left.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// A field whose length is in a byte before it.
    pub(super) fn field8(&mut self) -> Option<&'a [u8]> {
        let length = self.u8()?;
        self.bytes(length.into())
    }

    /// A field whose length is in two bytes before it.
    pub(super) fn field16(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.bytes(length.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_longer_than_the_rest_is_not_read() {
        let mut reader = ByteReader::new(&[1, 2, 3, 1, 9, 0, 2, 7, 8, 5]);
        assert_eq!(reader.u8(), Some(1));
        assert_eq!(reader.u16(), Some(0x0203));
        assert_eq!(reader.field8(), Some(&[9][..]));
        assert_eq!(reader.field16(), Some(&[7, 8][..]));
        assert_eq!((reader.len(), reader.is_empty()), (1, false));
        assert_eq!(reader.u16(), None);
        assert_eq!(reader.bytes(2), None);
        assert_eq!(reader.field8(), None);
        assert_eq!((reader.len(), reader.is_empty()), (0, true));
        assert_eq!(reader.array::<1>(), None);
        assert_eq!(reader.bytes(0), Some(&[][..]));
    }
}
