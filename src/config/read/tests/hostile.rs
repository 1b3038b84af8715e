//! Files that are broken on purpose.

use super::*;
use crate::config::random::Random;

/// Everything that the scan and the parser treat on their own, in one small file.
const SAMPLE: &str = "\u{feff}<?xml version=\"1.0\" encoding='UTF-8'?>\r\n\
    <!DOCTYPE config SYSTEM \"x.dtd\"><config>ü<!-- c --><note>x</note><![CDATA[<]]>\
    <service name=\"s&#252;&amp;\" idleTimeout=\"0.5\"><listen ip=\"[::1]:80\"/>\
    <group name=\"g\" scheduler=\"p2c,sticky\" enable=\"yes\">\
    <host name=\"ü\" ip=\"a.b:1\" weight=\"7\"/><client ip='1.2.3.4:5'/></group>\n\
    <enable group='g'/></service><admin><web listen='None' enable='0' refresh='1'/>\
    <user name='u' access='full'><key>ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB</key></user></admin>\
    <manager><hostCheck interval=\"10.0\"/></manager><logging file='f'/></config>";

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    const LIKELY: &[u8] = b"<>/\"'=&;![]-?: \n\0\xff\xc3x0";
    let at = random.below(bytes.len() + 1);
    let until = (at + random.below(30)).min(bytes.len());
    match random.below(5) {
        0 => bytes.truncate(at),
        1 => bytes
            .get_mut(at)
            .into_iter()
            .for_each(|byte| *byte ^= 1 << random.below(8)),
        2 => bytes.insert(at, LIKELY[random.below(LIKELY.len())]),
        3 => drop(bytes.drain(at..until)),
        _ => {
            let piece = bytes[at..until].to_vec();
            let to = random.below(bytes.len() + 1);
            bytes.splice(to..to, piece);
        }
    }
}

#[test]
fn no_broken_file_makes_it_panic() {
    let mut random = Random::new(1);
    let mut refused = 0;
    for _ in 0..20_000 {
        let mut bytes = SAMPLE.as_bytes().to_vec();
        for _ in 0..=random.below(3) {
            mutate(&mut bytes, &mut random);
        }
        if let Err(error) = read(&bytes) {
            refused += 1;
            assert!(error.position >= Position::START);
            let shown = error.to_string();
            assert!(
                !shown.contains(char::is_control) && shown.len() < 600,
                "{shown}"
            );
            assert!(shown.len() > "1:1: ".len(), "{error:?}");
        }
    }
    assert!((10_000..20_000).contains(&refused), "{refused}");
}

#[test]
fn noise_is_refused() {
    let mut random = Random::new(2);
    for _ in 0..2_000 {
        let noise: Vec<u8> = (0..random.below(200))
            .map(|_| u8::try_from(random.below(256)).unwrap())
            .collect();
        assert!(read(&noise).is_err());
        let ascii: String = (0..random.below(99))
            .map(|_| *random.pick(&['<', 'a', '>']))
            .collect();
        assert!(read(ascii.as_bytes()).is_err());
    }
}

#[test]
fn a_file_that_is_all_warnings_is_read_in_one_pass() {
    let groups: String = (0..20_000)
        .map(|index| format!("<group name='{index}'/>"))
        .collect();
    let text = with_group(&format!("<group name='g' enable='1'/>{groups}"));
    let started = std::time::Instant::now();
    assert_eq!(warnings(&text).len(), 20_001);
    assert!(started.elapsed() < Duration::from_secs(3));
}
