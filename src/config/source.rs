//! Source addresses: where a group's connections to its hosts come from.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::check::Misspelt;
use super::error::Error;
use super::value::Value;

/// Where a group's connections to its hosts come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Source {
    /// From the address that the system chooses.
    #[default]
    Any,
    /// From these addresses in turn: at least one, each once. A host whose family has none is
    /// connected to from the address that the system chooses.
    Addresses(Vec<IpAddr>),
    /// From the client's own address and port. Linux alone has that, with a capability
    /// (`IP_TRANSPARENT`).
    Client,
}

impl Source {
    /// The most addresses of a group.
    pub const MOST_ADDRESSES: usize = 64;

    /// The word for [`Source::Client`].
    const CLIENT: &str = "client";

    /// What the attribute takes, for errors.
    const EXPECTED: &str =
        "client, or at most 64 IP addresses, each once, with blanks between them";
}

impl FromStr for Source {
    type Err = Misspelt;

    /// `client`, or addresses with blanks or commas between them; none are [`Source::Any`].
    fn from_str(text: &str) -> Result<Self, Misspelt> {
        if text == Source::CLIENT {
            return Ok(Source::Client);
        }
        let is_between = |character: char| character == ',' || character.is_ascii_whitespace();
        let words = text.split(is_between).filter(|word| !word.is_empty());
        let mut addresses: Vec<IpAddr> = Vec::new();
        for word in words {
            let ip: IpAddr = word.parse().map_err(|_| Misspelt)?;
            let ip = ip.to_canonical();
            let is_one = !ip.is_unspecified() && !ip.is_multicast();
            if !is_one || addresses.contains(&ip) || addresses.len() == Source::MOST_ADDRESSES {
                return Err(Misspelt);
            }
            addresses.push(ip);
        }
        match addresses.is_empty() {
            true => Ok(Source::Any),
            false => Ok(Source::Addresses(addresses)),
        }
    }
}

impl fmt::Display for Source {
    /// As in a file; [`Source::Any`] is empty.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Any => Ok(()),
            Source::Client => f.write_str(Source::CLIENT),
            Source::Addresses(addresses) => {
                for (index, ip) in addresses.iter().enumerate() {
                    let between = if index > 0 { " " } else { "" };
                    write!(f, "{between}{ip}")?;
                }
                Ok(())
            }
        }
    }
}

impl Value<'_> {
    /// Where connections to hosts come from.
    pub(super) fn source(&self) -> Result<Source, Error> {
        self.text
            .parse()
            .map_err(|_| self.bad_value(Source::EXPECTED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_printed_as_it_is_understood() {
        for (text, printed) in [
            ("", ""),
            (" ", ""),
            ("client", "client"),
            ("10.0.0.9", "10.0.0.9"),
            ("10.0.0.9 10.0.0.10", "10.0.0.9 10.0.0.10"),
            (
                " 10.0.0.9,\t2001:DB8::9 ,::ffff:10.0.0.10",
                "10.0.0.9 2001:db8::9 10.0.0.10",
            ),
        ] {
            let source: Source = text.parse().unwrap();
            assert_eq!(source.to_string(), printed, "{text}");
            assert_eq!(printed.parse::<Source>(), Ok(source), "{text}");
        }
    }

    #[test]
    fn what_is_no_source_is_refused() {
        let most: Vec<String> = (1..=64).map(|number| format!("10.0.0.{number}")).collect();
        assert!(most.join(" ").parse::<Source>().is_ok());
        let too_many = format!("{} 10.0.1.1", most.join(" "));
        for text in [
            "Client",
            "client 10.0.0.9",
            "10.0.0.9:80",
            "[::1]",
            "fe80::1%eth0",
            "10.0.0.0/24",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "10.0.0.9 10.0.0.9",
            "10.0.0.9 ::ffff:10.0.0.9",
            "host.example.org",
            too_many.as_str(),
        ] {
            assert_eq!(text.parse::<Source>(), Err(Misspelt), "{text}");
        }
    }
}
