//! Generated files are those that `make generate` writes.

use std::fs;
use std::path::Path;

use crate::generated;

#[test]
fn what_is_generated_is_as_its_sources_say() {
    for (path, made) in generated::all() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let found = fs::read_to_string(file).unwrap_or_default();
        let differ = |(found, made): &(&str, &str)| found != made;
        let first = found.lines().zip(made.lines()).find(differ);
        assert!(
            found == made,
            "{path} is not as its sources say, first at {first:?}: \"make generate\" writes it anew. \
             What changes in tests/public_api.txt is for CHANGELOG.md to tell"
        );
    }
}
