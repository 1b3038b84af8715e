//! Views of the configuration: what is in effect, and what the file says or would say.
//!
//! They are for people and programs to read, so passwords are hidden in all of them.

use super::controller::Controller;
use super::reload::NO_FILE;
use crate::config::verb::View;
use crate::config::{edit, hide_passwords, print};

impl Controller {
    /// The configuration, looked at in this way.
    pub(super) fn view(&self, view: View) -> Result<String, String> {
        let stored = self.stored.as_ref().map(|stored| &stored.file.bytes);
        match (view, stored) {
            // A hash may have got into a name.
            (View::Effect, _) => Ok(hide_passwords(&print(self.director.config()))),
            (View::Running | View::Stored, None) => Err(NO_FILE.to_owned()),
            (View::Running, Some(bytes)) => edit(bytes, self.director.config())
                .map(|edited| shown(&edited))
                .map_err(|error| error.to_string()),
            (View::Stored, Some(bytes)) => Ok(shown(bytes)),
        }
    }
}

fn shown(bytes: &[u8]) -> String {
    hide_passwords(&String::from_utf8_lossy(bytes))
}
