//! Tests of files with several errors: all are told, and each mistake once.

use super::*;

/// The errors of a text, one on each line.
fn errors(text: &str) -> Vec<String> {
    let errors = read(text.as_bytes()).unwrap_err();
    errors.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn all_errors_are_told_in_the_files_order() {
    let text = "<config>
<admin><user name='u' access='all'/></admin>
<service name='s' idleTimeout='x'>
 <listen ip='80'/><listen ip='*:80'/>
 <group name='g' scheduler='leastcon'>
  <host ip='a:1' weight='-1' state='of'/><host name='h' ip=':'/><host name='h' ip='b:1'/>
 </group>
</service>
<service name='t'><listen ip='81'/><groop name='g'/></service>
<manager><hostCheck interval='x'/></manager>
<control colour='red'/>
</config>";
    let found = errors(text);
    let places: Vec<_> = found
        .iter()
        .map(|it| it.split(": ").next().unwrap())
        .collect();
    let expected = [
        "2:23", "3:1", "3:19", "4:27", "5:18", "6:18", "6:30", "6:57", "6:71", "9:36", "10:21",
        "11:10",
    ];
    assert_eq!(places, expected, "{found:#?}");
}

#[test]
fn one_mistake_is_one_error() {
    let service = |inner: &str| format!("<config><service name='s'>{inner}</service></config>");
    let group = "<group name='g' enable='1'/>";
    let admin = |inner: &str| format!("<config><admin>{inner}</admin></config>");
    for text in [
        // What is misspelt is not missing, too.
        service(&format!("<lisen ip='1'/>{group}")),
        service("<listen ip='1'/><gruop name='g' enable='1'/>"),
        service("<listen ip='1'/><gruop name='g'/><group name='h'/><enable group='g'/>"),
        service("<listen ip='1'/><group name='g' enabled='1'/>"),
        service(&format!("<listen ipp='1'/>{group}")),
        service("<listen ip='1'/><group nam='g' enable='1'/>"),
        admin("<web listn='1'/>"),
        admin("<web listen='1' cert='C' kee='K'/>"),
        admin("<user name='u' pasword='$6$' access='full'/>"),
        // What has a wrong value is there.
        service("<listen ip='1'/><group name='g' scheduler='x'/><enable group='g'/>"),
        service("<listen ip='1'/><group name='g' scheduler='x' enable='1'/>"),
        service("<listen ip='1'/><group name=''/><enable group='g'/>"),
        service(&format!("<listen ip='x'/>{group}")),
        service("<listen ip='1'/><group enable='1'><host ip='a:1'/></group>"),
        service("<listen ip='1'/>"),
        admin("<web listen='x'/>"),
        admin("<user name='u' access='full'><key>x</key></user>"),
        // It is no XML.
        "<config><service></config><admin x='y'/>".to_owned(),
    ] {
        let found = errors(&text);
        assert_eq!(found.len(), 1, "{text}\n{found:#?}");
    }
}

#[test]
fn more_than_twenty_errors_are_cut_short() {
    let hosts = |count| "<host ip='a:0'/>".repeat(count);
    let file = |count| {
        let group = format!("<group name='g' enable='1'>{}</group>", hosts(count));
        format!("<config><service name='s'><listen ip='1'/>{group}</service></config>")
    };
    assert_eq!(errors(&file(20)).len(), 20);
    let many = errors(&file(21));
    assert_eq!(many.len(), 21);
    assert_eq!(many[20], "and more");
    // The lines before each error are not counted for all of them.
    assert_eq!(errors(&file(50_000)), many);
    for many in [
        "<manager/>",
        "<admin><user><key>x</key></user></admin>",
        "<x/>",
        "<service x='y'/>",
    ] {
        let text = format!("<config>{}</config>", many.repeat(20_000));
        assert_eq!(errors(&text).len(), 21, "{many}");
    }
    let keys = "<key>x</key>".repeat(20_000);
    let text =
        format!("<config><admin><user name='u' access='full'>{keys}</user></admin></config>");
    assert_eq!(errors(&text).len(), 21);
}
