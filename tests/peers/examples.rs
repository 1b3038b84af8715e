//! The examples of txlb.xml(5), for the tests that run them.

const MANUAL: &str = include_str!("../../man/txlb.xml.5");

/// The one example of the manual that has this in it, as it is read.
pub(crate) fn example_with(part: &str) -> String {
    let (_, examples) = MANUAL.split_once(".Sh EXAMPLES").unwrap();
    let blocks = examples.split(".Bd -literal -offset indent\n").skip(1);
    let blocks = blocks.map(|rest| rest.split(".Ed").next().unwrap());
    let found: Vec<_> = blocks.filter(|block| block.contains(part)).collect();
    assert_eq!(found.len(), 1, "{part}");
    found[0].replace("\\e", "\\")
}

/// Changes words of an example, each of which it must have.
pub(crate) fn with(example: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(example.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "{old} is not in {text}");
        text.replace(old, new)
    })
}
