//! Socket activation: listening sockets that the parent process passed on, as
//! sd_listen_fds(3) describes it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;

use rustix::net::sockopt;

use super::handed_over;
use super::listen::{BindAddress, ListenPlace, StreamListener};

/// A listening socket that this process did not bind itself.
#[derive(Debug)]
pub struct InheritedSocket {
    /// Its name (`LISTEN_FDNAMES`); empty without one.
    pub name: String,
    /// Where it listens.
    pub place: ListenPlace,
    /// The socket.
    pub listener: StreamListener,
    /// Whether another process has it, too. Then closing it does not stop listening.
    pub is_shared: bool,
}

impl InheritedSocket {
    /// Takes over a listening socket, and sets the options that own sockets have.
    ///
    /// # Errors
    /// `InvalidInput` if it does not listen, or the system's.
    pub fn new(
        name: String,
        listener: TcpListener,
        is_shared: bool,
    ) -> io::Result<InheritedSocket> {
        check_listening(&listener)?;
        sockopt::set_tcp_nodelay(&listener, true)?;
        listener.set_nonblocking(true)?;
        Ok(InheritedSocket {
            name,
            place: address(&listener)?.into(),
            listener: StreamListener::Tcp(listener),
            is_shared,
        })
    }

    /// The same for a Unix socket. Its file belongs to who made it.
    ///
    /// # Errors
    /// `InvalidInput` if it does not listen or has no path, or the system's.
    pub fn new_unix(
        name: String,
        listener: UnixListener,
        is_shared: bool,
    ) -> io::Result<InheritedSocket> {
        check_listening(&listener)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let path = address.as_pathname().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(InheritedSocket {
            name,
            place: ListenPlace::Unix(path.into()),
            listener: StreamListener::Unix(listener, path.into()),
            is_shared,
        })
    }
}

/// What the name of a handed-over socket begins with that its maker gave to a predecessor.
const HANDED_OVER: &str = "activation ";

impl InheritedSocket {
    /// The name by which a process hands over a socket that it has inherited.
    pub fn handed_over_name(name: &str) -> String {
        format!("{HANDED_OVER}{name}")
    }

    /// Takes the sockets that a predecessor had inherited.
    ///
    /// # Errors
    /// One does not listen, or the system's.
    pub fn take_handed_over() -> io::Result<Vec<InheritedSocket>> {
        let all = handed_over::take_where(|name| name.starts_with(HANDED_OVER)).into_iter();
        all.map(|(name, socket)| {
            let name = name[HANDED_OVER.len()..].to_owned();
            let unix = UnixListener::from(socket);
            // It tells which kind of socket this is.
            match unix.local_addr() {
                Ok(_) => InheritedSocket::new_unix(name, unix, true),
                Err(_) => InheritedSocket::new(name, TcpListener::from(OwnedFd::from(unix)), true),
            }
        })
        .collect()
    }
}

/// Checks that a socket listens. Apple's system does not tell.
pub(super) fn check_listening(listener: &impl AsFd) -> io::Result<()> {
    #[cfg(not(target_vendor = "apple"))]
    if !sockopt::socket_acceptconn(listener)? {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    #[cfg(target_vendor = "apple")]
    let _ = listener;
    Ok(())
}

fn address(listener: &TcpListener) -> io::Result<BindAddress> {
    let address = listener.local_addr()?;
    let is_any = match address {
        SocketAddr::V4(_) => false,
        SocketAddr::V6(v6) => v6.ip().is_unspecified() && !sockopt::ipv6_v6only(listener)?,
    };
    Ok(match is_any {
        true => BindAddress::Any {
            port: address.port(),
        },
        false => BindAddress::At(address),
    })
}

/// Takes the sockets that this process inherited.
///
/// It removes their variables from the environment. So it must be called once, while there
/// is only one thread.
///
/// # Errors
/// `InvalidData` if the variables are wrong, or if one is no listening socket of TCP, nor a Unix one
/// with a path.
#[cfg(feature = "activation")]
pub fn take_inherited_sockets() -> io::Result<Vec<InheritedSocket>> {
    let Some(given) = given::ActivationVariables::from_environment()? else {
        return Ok(Vec::new());
    };
    let mut descriptors = listenfd::ListenFd::from_env();
    let mut all: Vec<InheritedSocket> = Vec::new();
    for (number, name) in given.names.into_iter().enumerate() {
        let called = format!("{} of those that were inherited ({name:?})", number + 1);
        let one = take_one(&mut descriptors, number, &name)
            .ok_or_else(|| invalid_data(&format!("number {called} is no listening TCP socket")))?;
        if let Some(other) = all.iter().find(|other| other.place == one.place) {
            return Err(invalid_data(&format!(
                "number {called} listens at {}, as another one does ({:?})",
                one.place, other.name
            )));
        }
        all.push(one);
    }
    Ok(all)
}

/// The listening socket of this number, of TCP or at a path.
#[cfg(feature = "activation")]
fn take_one(
    descriptors: &mut listenfd::ListenFd,
    number: usize,
    name: &str,
) -> Option<InheritedSocket> {
    // A descriptor of another kind stays for the second try.
    if let Ok(Some(listener)) = descriptors.take_tcp_listener(number) {
        return InheritedSocket::new(name.to_owned(), listener, true).ok();
    }
    let listener = descriptors.take_unix_listener(number).ok().flatten()?;
    InheritedSocket::new_unix(name.to_owned(), listener, true).ok()
}

/// Without the feature `activation`: returns none, and an error if there are some.
///
/// # Errors
/// `Unsupported` if this process was given any.
#[cfg(not(feature = "activation"))]
pub fn take_inherited_sockets() -> io::Result<Vec<InheritedSocket>> {
    match std::env::var("LISTEN_PID") {
        Ok(pid) if pid.parse() == Ok(std::process::id()) => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "sockets are inherited (LISTEN_FDS), but this txlb was built without activation",
        )),
        _ => Ok(Vec::new()),
    }
}

#[cfg(feature = "activation")]
fn invalid_data(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(feature = "activation")]
mod given {
    use std::env;

    use super::*;

    /// The most sockets. A larger number is an error, before memory is allocated for it.
    const MAX_SOCKETS: usize = 1024;

    /// What the environment says about the sockets.
    #[derive(Debug, PartialEq)]
    pub(super) struct ActivationVariables {
        /// The name of each socket.
        pub(super) names: Vec<String>,
    }

    impl ActivationVariables {
        pub(super) fn from_environment() -> io::Result<Option<ActivationVariables>> {
            let variable = |name| env::var(name).ok();
            ActivationVariables::read(
                variable("LISTEN_FDS").as_deref(),
                variable("LISTEN_PID").as_deref(),
                variable("LISTEN_FDNAMES").as_deref(),
                std::process::id(),
            )
        }

        /// `None` if the variables are for another process than `process`: children inherit
        /// them.
        pub(super) fn read(
            count: Option<&str>,
            whose: Option<&str>,
            names: Option<&str>,
            process: u32,
        ) -> io::Result<Option<ActivationVariables>> {
            let (Some(count), Some(whose)) = (count, whose) else {
                return Ok(None);
            };
            if whose.parse() != Ok(process) {
                return Ok(None);
            }
            let count = count.parse().ok().filter(|it| *it <= MAX_SOCKETS);
            let count = count.ok_or_else(|| invalid_data("LISTEN_FDS is no number up to 1024"))?;
            let names: Vec<String> = match names {
                Some(names) => names.split(':').map(str::to_owned).collect(),
                None => vec![String::new(); count],
            };
            if count > 0 && names.len() != count {
                return Err(invalid_data(
                    "LISTEN_FDNAMES has not as many names as LISTEN_FDS says",
                ));
            }
            Ok((count > 0).then_some(ActivationVariables { names }))
        }
    }
}

#[cfg(all(test, feature = "activation"))]
mod tests {
    use std::net::TcpStream;

    use rustix::net::sockopt;

    use super::given::ActivationVariables;
    use super::*;
    use crate::os::listen::{ListenOptions, bind_all};

    #[test]
    fn variables_of_another_process_are_none_of_ours() {
        let read = |count, whose, names| ActivationVariables::read(count, whose, names, 7);
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
        let names = |names: &[&str]| ActivationVariables {
            names: names.iter().map(ToString::to_string).collect(),
        };
        let two = |names| read(Some("2"), Some("7"), names).unwrap();
        assert_eq!(two(Some("web:mail")), Some(names(&["web", "mail"])));
        assert_eq!(two(None), Some(names(&["", ""])));
        for (count, names) in [("2", "web"), ("-1", ""), ("2000000000", ""), ("x", "")] {
            let error = read(Some(count), Some("7"), Some(names)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{count} {names}");
        }
    }

    #[test]
    fn an_inherited_socket_has_its_address_and_the_options_of_our_own() {
        let alone = BindAddress::At("[::]:0".parse().unwrap());
        let sockets = [
            // As systemd makes those for a port alone.
            (TcpListener::bind("[::]:0"), "*"),
            (
                bind_all(alone, &ListenOptions::default(), 1, false).map(|mut all| all.remove(0)),
                "[::]",
            ),
            (TcpListener::bind("127.0.0.1:0"), "127.0.0.1"),
        ];
        for (socket, expected) in sockets {
            // This machine may have no IPv6.
            let Ok(socket) = socket else { continue };
            let port = socket.local_addr().unwrap().port();
            let InheritedSocket {
                place, listener, ..
            } = InheritedSocket::new(String::new(), socket, true).unwrap();
            let StreamListener::Tcp(listener) = listener else {
                panic!("{listener:?}");
            };
            assert_eq!(place.to_string(), format!("{expected}:{port}"));
            assert!(sockopt::tcp_nodelay(&listener).unwrap());
            let error = listener.accept().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn what_does_not_listen_is_refused() {
        let host = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(host.local_addr().unwrap()).unwrap();
        let disguised = TcpListener::from(OwnedFd::from(client));
        assert!(InheritedSocket::new(String::new(), disguised, true).is_err());
    }
}
