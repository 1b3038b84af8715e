//! Check for the fuzz target: any bytes as a name server's answer.
//!
//! Behind the feature `internals`, not part of the public interface. It panics on failure.

use super::message::{Data, Kind, Query, Reply};
use crate::config::is_host_name;

/// Takes what comes in a message after its number, but for the question, which is the one asked.
/// All names that come of it are host names, and data are of the kind that was asked for.
pub fn fuzz_dns_reply(bytes: &[u8]) {
    const AFTER_NUMBER: usize = 10;
    let Some((head, rest)) = bytes.split_at_checked(AFTER_NUMBER) else {
        return;
    };
    for kind in [Kind::A, Kind::Aaaa, Kind::Srv] {
        let Some(query) = Query::new(7, "a.test", kind, false) else {
            return;
        };
        let question = &query.bytes[2 + AFTER_NUMBER..];
        let message = [&query.bytes[..2], head, question, rest].concat();
        let Some(Reply::Answer(answer)) = query.reply(&message) else {
            continue;
        };
        assert!(answer.alias.as_deref().is_none_or(is_host_name));
        for data in answer.data {
            match data {
                Data::Service(service) => {
                    assert!(kind == Kind::Srv && is_host_name(&service.target));
                }
                Data::Address(_) => assert!(kind != Kind::Srv),
            }
        }
    }
}
