//! `diff`: the verbs that make one configuration file of another.
//!
//! Reads two files and changes nothing.

use std::path::Path;

use txlb::config::leave_out_masked;
use txlb::config::verb::{diff, script};
use txlb::control::File;

use crate::exit::Exit;
use crate::output;
use crate::serve::file_exit;

/// Prints the verbs that turn what `old` says into what `new` says. Whether there
/// are any makes no difference to how it ends. Passwords that a view has masked are not
/// compared.
pub(crate) fn run(old: &Path, new: &Path) -> Result<(), Exit> {
    // Whoever writes `<(command)` waits for that command.
    let read = |path| File::read_once(path, None).map_err(|error| file_exit(&error));
    let ((_, mut old), (_, mut new)) = (read(old)?, read(new)?);
    let masked = leave_out_masked(&mut old.config, &mut new.config);
    if masked > 0 {
        output::note(&format!(
            "txlb diff: passwords masked as *** are not compared: {masked} here"
        ))?;
    }
    output::print(&script(&diff(&old.config, &new.config)))
}
