//! How many members a name has, as operators see it.

use crate::config::Each;
use crate::text::plural;

/// The members of a template, as operators see them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberCount {
    /// Name of the template.
    pub name: String,
    /// Its address, as configured: the name.
    pub endpoint: String,
    /// What tells of its members, as in the file: `true` or `srv`.
    pub each: &'static str,
    /// Members that it has now.
    pub members: usize,
    /// Why the last question was not answered, if so.
    pub failure: Option<String>,
}

impl MemberCount {
    /// What it is and has, in words.
    pub(crate) fn words(&self) -> String {
        let MemberCount {
            name,
            endpoint,
            members,
            ..
        } = self;
        let what = match self.each == Each::Srv.as_str() {
            true => "each record SRV",
            false => "each address",
        };
        let has = plural(*members, "member");
        let failure = self.failure.iter();
        let failure = failure.map(|why| format!("; not known now: {}", why.escape_debug()));
        format!(
            "host {name} is {what} of {endpoint}: {has}{}",
            failure.collect::<String>()
        )
    }
}
