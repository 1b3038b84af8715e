//! Passes descriptors to another process over a Unix socket, and messages with a length in front.
//!
//! A descriptor travels with one byte, so that a stream keeps each apart from the next.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// The byte that a descriptor travels with.
const MARK: u8 = b'd';

/// Descriptors that are taken with one byte; more are closed by the system.
const MAX_AT_ONCE: usize = 4;

/// Has descriptors arrive so that programs started meanwhile do not inherit them, where the system
/// can do that.
#[cfg(not(any(target_vendor = "apple", target_os = "illumos", target_os = "solaris")))]
const NOT_INHERITED: RecvFlags = RecvFlags::CMSG_CLOEXEC;
#[cfg(any(target_vendor = "apple", target_os = "illumos", target_os = "solaris"))]
const NOT_INHERITED: RecvFlags = RecvFlags::empty();

/// Sends one descriptor.
///
/// # Errors
/// The system's; `WriteZero` if nothing could be written.
pub fn send_descriptor(socket: &UnixStream, descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let bytes = [IoSlice::new(&[MARK])];
    match rustix::io::retry_on_intr(|| sendmsg(socket, &bytes, &mut control, SendFlags::empty()))? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        _ => Ok(()),
    }
}

/// Receives one descriptor, which programs that are started later do not inherit.
///
/// # Errors
/// `UnexpectedEof` at the end of the stream, `InvalidData` if another thing than one descriptor
/// comes, or the system's.
pub fn receive_descriptor(socket: &UnixStream) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_AT_ONCE))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let received = {
        let mut bytes = [IoSliceMut::new(&mut byte)];
        recvmsg(socket, &mut bytes, &mut control, NOT_INHERITED)?
    };
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(all) = message {
            descriptors.extend(all);
        }
    }
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    match (descriptors.pop(), descriptors.is_empty(), byte[0]) {
        (Some(descriptor), true, MARK) => {
            // Not every system knows the flag above.
            fcntl_setfd(&descriptor, FdFlags::CLOEXEC)?;
            Ok(descriptor)
        }
        _ => {
            let why = "another thing than one descriptor has come";
            Err(io::Error::new(io::ErrorKind::InvalidData, why))
        }
    }
}

/// Sends a message.
///
/// # Errors
/// `InvalidInput` if it is longer than 4 GiB, or the system's.
pub fn send_message(mut socket: &UnixStream, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    socket.write_all(&length.to_be_bytes())?;
    socket.write_all(message)
}

/// Receives a message of `most` bytes at most.
///
/// # Errors
/// `UnexpectedEof` at the end of the stream, `InvalidData` if it is longer, or the system's.
pub fn receive_message(mut socket: &UnixStream, most: usize) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > most {
        let why = format!("a message of {length} bytes has come: {most} are allowed");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    let mut message = Vec::new();
    // The memory grows with what comes, not with what the length says.
    socket.take(length as u64).read_to_end(&mut message)?;
    match message.len() == length {
        true => Ok(message),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::pipe;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn descriptors_arrive_in_order_and_are_not_inherited() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut reader, writer) = pipe().unwrap();
        send_message(&ours, b"two").unwrap();
        send_descriptor(&ours, writer.as_fd()).unwrap();
        send_descriptor(&ours, ours.as_fd()).unwrap();
        drop(writer);
        assert_eq!(receive_message(&theirs, 3).unwrap(), b"two");
        let received = receive_descriptor(&theirs).unwrap();
        let flags = rustix::io::fcntl_getfd(&received).unwrap();
        assert!(flags.contains(FdFlags::CLOEXEC));
        receive_descriptor(&theirs).unwrap();
        let mut writer = io::PipeWriter::from(received);
        writer.write_all(b"x").unwrap();
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
        drop(ours);
        let error = receive_descriptor(&theirs).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn what_is_no_descriptor_and_what_is_too_long_is_refused() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (&ours).write_all(b"d").unwrap();
        let error = receive_descriptor(&theirs).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        send_message(&ours, b"four").unwrap();
        let error = receive_message(&theirs, 3).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let (ours, theirs) = UnixStream::pair().unwrap();
        (&ours).write_all(&[0xff, 0xff, 0xff, 0xff, 1]).unwrap();
        drop(ours);
        let error = receive_message(&theirs, usize::MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
