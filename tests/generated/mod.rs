//! What is made from txlb's own tables and sources, and is in the tree for who reads it: written
//! by `make generate`, compared by a test of `tests/it`.

mod completions;
mod public_api;
mod schema;

/// The path of a file from the top of the tree, and what it has to say.
pub(crate) type Generated = (&'static str, String);

pub(crate) fn all() -> Vec<Generated> {
    let mut all = vec![public_api::list(), schema::schema_for_editors()];
    all.extend(completions::all());
    all
}
