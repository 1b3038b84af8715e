//! The limits of a file, and what is said beyond them.

use std::fmt;

use super::Check;

/// A limit on a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// The file's size.
    Bytes,
    /// Elements inside one another.
    Levels,
    /// Elements, texts, comments and processing instructions.
    Nodes,
    /// Attributes of one element.
    Attributes,
    /// Declarations of XML namespaces, which nothing here needs.
    Namespaces,
    /// Checks of one group.
    Checks,
    /// Listeners of all services, each port of a range for itself.
    Listeners,
}

impl Limit {
    /// The greatest number allowed.
    pub const fn max(self) -> usize {
        match self {
            Limit::Bytes => 1 << 20,
            Limit::Levels => 100,
            Limit::Nodes => 100_000,
            Limit::Attributes | Limit::Namespaces => 64,
            Limit::Checks => Check::MOST_OF_A_GROUP,
            Limit::Listeners => 4096,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let max = self.max();
        match self {
            Limit::Bytes => write!(f, "the file is larger than {max} bytes"),
            Limit::Levels => write!(f, "more than {max} elements inside one another"),
            Limit::Nodes => write!(f, "more than {max} elements, texts and comments"),
            Limit::Attributes => write!(f, "more than {max} attributes on one element"),
            Limit::Namespaces => write!(f, "more than {max} namespace declarations"),
            Limit::Checks => write!(f, "more than {max} checks in one group"),
            Limit::Listeners => write!(
                f,
                "more than {max} listeners in all services, counting each port of a range"
            ),
        }
    }
}
