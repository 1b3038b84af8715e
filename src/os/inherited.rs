//! Listening sockets that whoever started this process made for it: socket activation,
//! as sd_listen_fds(3) has it.
//!
//! Which of them serves what is for their owner to say.

use std::io;
use std::net::{SocketAddr, TcpListener};

use rustix::net::sockopt;

use super::listen::Place;

/// A listening socket that was made by somebody else.
#[derive(Debug)]
pub struct Inherited {
    /// What it was called, if anything.
    pub name: String,
    /// Where it listens.
    pub place: Place,
    /// The socket.
    pub listener: TcpListener,
    /// Whether whoever made it has it still: then closing it ends nothing.
    pub is_shared: bool,
}

impl Inherited {
    /// Makes of it what a socket of our own is.
    ///
    /// # Errors
    /// `InvalidInput` if it does not listen, or the system's.
    pub fn new(name: String, listener: TcpListener, is_shared: bool) -> io::Result<Inherited> {
        check_listening(&listener)?;
        sockopt::set_tcp_nodelay(&listener, true)?;
        sockopt::set_socket_keepalive(&listener, true)?;
        listener.set_nonblocking(true)?;
        Ok(Inherited {
            name,
            place: place(&listener)?,
            listener,
            is_shared,
        })
    }
}

/// Apple's system does not tell.
fn check_listening(listener: &TcpListener) -> io::Result<()> {
    #[cfg(not(target_vendor = "apple"))]
    if !sockopt::socket_acceptconn(listener)? {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    #[cfg(target_vendor = "apple")]
    let _ = listener;
    Ok(())
}

fn place(listener: &TcpListener) -> io::Result<Place> {
    let address = listener.local_addr()?;
    let is_any = match address {
        SocketAddr::V4(_) => false,
        SocketAddr::V6(v6) => v6.ip().is_unspecified() && !sockopt::ipv6_v6only(listener)?,
    };
    Ok(match is_any {
        true => Place::Any {
            port: address.port(),
        },
        false => Place::At(address),
    })
}

/// Those that this process was given. To be called once, before there are threads: the
/// variables that tell of them are taken out of the environment.
///
/// # Errors
/// `InvalidData` for what is not as it should be, a socket of another kind among them.
#[cfg(feature = "activation")]
pub fn inherited() -> io::Result<Vec<Inherited>> {
    let Some(given) = given::Given::from_environment()? else {
        return Ok(Vec::new());
    };
    let mut descriptors = listenfd::ListenFd::from_env();
    let mut all: Vec<Inherited> = Vec::new();
    for (number, name) in given.names.into_iter().enumerate() {
        let listener = descriptors.take_tcp_listener(number).ok().flatten();
        let one = listener.and_then(|listener| Inherited::new(name.clone(), listener, true).ok());
        let called = format!("{} of those that were inherited ({name:?})", number + 1);
        let one = one.ok_or_else(|| bad(&format!("number {called} is no listening TCP socket")))?;
        if let Some(other) = all.iter().find(|other| other.place == one.place) {
            return Err(bad(&format!(
                "number {called} listens at {}, as another one does ({:?})",
                one.place, other.name
            )));
        }
        all.push(one);
    }
    Ok(all)
}

/// Without the feature `activation`: none, and an error if there are some.
///
/// # Errors
/// `Unsupported` if this process was given any.
#[cfg(not(feature = "activation"))]
pub fn inherited() -> io::Result<Vec<Inherited>> {
    match std::env::var("LISTEN_PID") {
        Ok(pid) if pid.parse() == Ok(std::process::id()) => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "sockets are inherited (LISTEN_FDS), but this txlb was built without activation",
        )),
        _ => Ok(Vec::new()),
    }
}

#[cfg(feature = "activation")]
fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(feature = "activation")]
mod given {
    use std::env;

    use super::*;

    /// More than anybody has: a number that is out of its mind is not believed.
    const MOST: usize = 1024;

    /// What the environment says of the sockets.
    #[derive(Debug, PartialEq)]
    pub(super) struct Given {
        /// One for each.
        pub(super) names: Vec<String>,
    }

    impl Given {
        pub(super) fn from_environment() -> io::Result<Option<Given>> {
            let said = |name| env::var(name).ok();
            Given::read(
                said("LISTEN_FDS").as_deref(),
                said("LISTEN_PID").as_deref(),
                said("LISTEN_FDNAMES").as_deref(),
                std::process::id(),
            )
        }

        /// None unless it is `process` that is meant: variables get handed on.
        pub(super) fn read(
            count: Option<&str>,
            whose: Option<&str>,
            names: Option<&str>,
            process: u32,
        ) -> io::Result<Option<Given>> {
            let (Some(count), Some(whose)) = (count, whose) else {
                return Ok(None);
            };
            if whose.parse() != Ok(process) {
                return Ok(None);
            }
            let count = count.parse().ok().filter(|it| *it <= MOST);
            let count = count.ok_or_else(|| bad("LISTEN_FDS is no number up to 1024"))?;
            let names: Vec<String> = match names {
                Some(names) => names.split(':').map(str::to_owned).collect(),
                None => vec![String::new(); count],
            };
            if count > 0 && names.len() != count {
                return Err(bad(
                    "LISTEN_FDNAMES has not as many names as LISTEN_FDS says",
                ));
            }
            Ok((count > 0).then_some(Given { names }))
        }
    }
}

#[cfg(all(test, feature = "activation"))]
mod tests {
    use std::net::TcpStream;

    use rustix::net::sockopt;

    use super::given::Given;
    use super::*;
    use crate::os::listen::bind_all;

    #[test]
    fn variables_of_another_process_are_none_of_ours() {
        let read = |count, whose, names| Given::read(count, whose, names, 7);
        for (count, whose) in [
            (None, None),
            (Some("1"), None),
            (None, Some("7")),
            (Some("1"), Some("8")),
            (Some("many"), Some("me")),
            (Some("0"), Some("7")),
        ] {
            assert_eq!(read(count, whose, Some("")).unwrap(), None);
        }
        let names = |names: &[&str]| Given {
            names: names.iter().map(ToString::to_string).collect(),
        };
        let two = |said| read(Some("2"), Some("7"), said).unwrap();
        assert_eq!(two(Some("web:mail")), Some(names(&["web", "mail"])));
        assert_eq!(two(None), Some(names(&["", ""])));
        for (count, said) in [("2", "web"), ("-1", ""), ("2000000000", ""), ("x", "")] {
            let error = read(Some(count), Some("7"), Some(said)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{count} {said}");
        }
    }

    #[test]
    fn a_socket_is_known_by_its_place_and_has_the_options_of_our_own() {
        let alone = Place::At("[::]:0".parse().unwrap());
        let sockets = [
            // As systemd makes those for a port alone.
            (TcpListener::bind("[::]:0"), "*"),
            (
                bind_all(alone, 1, false).map(|mut all| all.remove(0)),
                "[::]",
            ),
            (TcpListener::bind("127.0.0.1:0"), "127.0.0.1"),
        ];
        for (socket, expected) in sockets {
            // This machine may have no IPv6.
            let Ok(socket) = socket else { continue };
            let port = socket.local_addr().unwrap().port();
            let Inherited {
                place, listener, ..
            } = Inherited::new(String::new(), socket, true).unwrap();
            assert_eq!(place.to_string(), format!("{expected}:{port}"));
            assert!(sockopt::tcp_nodelay(&listener).unwrap());
            assert!(sockopt::socket_keepalive(&listener).unwrap());
            let nobody = listener.accept().unwrap_err();
            assert_eq!(nobody.kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn what_does_not_listen_is_refused() {
        let host = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(host.local_addr().unwrap()).unwrap();
        let disguised = TcpListener::from(rustix::fd::OwnedFd::from(client));
        assert!(Inherited::new(String::new(), disguised, true).is_err());
    }
}
