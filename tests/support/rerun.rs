//! Runs the test program once more for one of its tests: in a namespace, or as a process that
//! may be killed.

use std::path::PathBuf;
use std::process::Command;

/// The path of this test program.
pub(crate) fn own_program() -> PathBuf {
    std::env::current_exe().unwrap()
}

/// The arguments that run one ignored test only: the one with this name in the module of this
/// `module_path!()`.
pub(crate) fn only(module: &str, name: &str) -> Vec<String> {
    let (_, module) = module.split_once("::").expect("a module of the program");
    let test = format!("{module}::{name}");
    ["--exact", &test, "--ignored", "--nocapture"]
        .map(str::to_owned)
        .into()
}

/// Runs a command that ends with [`only`]; exactly one test must run and pass.
pub(crate) fn passes(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("test result: ok. 1 passed;"),
        "{command:?}: {said}{complaint}"
    );
}
