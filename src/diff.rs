//! `diff`: the verbs that make one configuration file of another.
//!
//! Reads two files and changes nothing.

use std::path::Path;

use txlb::config::verb::{diff, script};
use txlb::director::File;

use crate::exit::Exit;
use crate::output;
use crate::serve::file_exit;

/// Prints the verbs that turn what `old` says into what `new` says. Whether there
/// are any makes no difference to how it ends.
pub(crate) fn run(old: &Path, new: &Path) -> Result<(), Exit> {
    // Whoever writes `<(command)` waits for that command.
    let read = |path| File::read_once(path, None).map_err(|error| file_exit(&error));
    let ((_, old), (_, new)) = (read(old)?, read(new)?);
    output::print(&script(&diff(&old.config, &new.config)))
}
