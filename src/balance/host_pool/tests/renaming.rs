//! Hosts that get other names: they live on, and nobody is mistaken for them.

use super::super::super::scene::all_schedulers;
use super::*;

fn renamed(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(new, old): &(&str, &str)| ((*new).to_owned(), (*old).to_owned());
    pairs.iter().map(owned).collect()
}

fn rename(scene: &mut Scene, scheduler: &str, hosts: &str, pairs: &[(&str, &str)]) {
    let now_ms = scene.now_ms;
    let group = group(scheduler, hosts);
    scene
        .tracker
        .configure_renamed(&group, &renamed(pairs), now_ms);
}

#[test]
fn nothing_else_changes_with_a_name_whoever_picks() {
    // Maglev goes by names: another name is another place in its table.
    let others = all_schedulers();
    let others = others.iter().filter(|name| !name.starts_with("maglev"));
    for scheduler in others {
        let [mut plain, mut other] = [(); 2].map(|()| Scene::new(scheduler, "a*3 b c*2"));
        let start = "+ + + . + !b + -a . +";
        assert_eq!(plain.run(start), other.run(start), "{scheduler}");
        rename(&mut other, scheduler, "a*3 z c*2", &[("z", "b")]);
        plain.configure(scheduler, "a*3 b c*2");
        assert_eq!(numbers(&plain, "b"), numbers(&other, "z"), "{scheduler}");
        assert_eq!(health(&plain, "b"), health(&other, "z"), "{scheduler}");
        let more = |name| format!("+ + . ?{name} + + . + + -{name} +");
        let picked = other.run(&more("z")).replace('z', "b");
        assert_eq!(plain.run(&more("b")), picked, "{scheduler}");
    }
}

#[test]
fn names_may_be_swapped() {
    let mut scene = Scene::new("leastc", "a b");
    scene.run("+ + + !b");
    let [a, b] = ["a", "b"].map(|name| (scene.id(name), numbers(&scene, name)));
    rename(&mut scene, "leastc", "b a", &[("a", "b"), ("b", "a")]);
    let now = ["b", "a"].map(|name| (scene.id(name), numbers(&scene, name)));
    assert_eq!(now, [a, b]);
    assert_ne!(health(&scene, "a").0, Health::Untried);
    assert_eq!(health(&scene, "b").0, Health::Untried);
}

#[test]
fn a_new_host_by_a_former_name_is_a_new_one() {
    let mut scene = Scene::new("leastc", "a");
    scene.run("+ +");
    let a = scene.id("a");
    rename(&mut scene, "leastc", "a x", &[("x", "a")]);
    assert_eq!((scene.id("x"), numbers(&scene, "x").0), (a, 2));
    assert_eq!(numbers(&scene, "a"), (0, 0, 0));
}

#[test]
fn a_host_whose_name_is_taken_over_goes_when_its_sessions_have() {
    let mut scene = Scene::new("roundr", "a b");
    assert_eq!(scene.run("+ +"), "a b");
    let (a, b) = (scene.id("a"), scene.id("b"));
    // b is removed, and a called so.
    rename(&mut scene, "roundr", "b", &[("b", "a")]);
    assert_eq!((scene.id("b"), scene.tracker.open()), (a, 2));
    // Its name is that of the one that is configured, whatever happens.
    scene.configure("roundr", "b");
    assert_eq!(scene.id("b"), a);
    scene.tracker.released(b, CLIENT, 1);
    assert_eq!(
        (scene.tracker.open(), scene.tracker.host_name(b)),
        (1, None)
    );
    assert_eq!(scene.tracker.host_name(a).as_deref(), Some("b"));
}

#[test]
fn what_counts_into_a_host_goes_on_doing_so() {
    let mut scene = Scene::new("roundr", "a");
    let picked = scene.pick(&[]).unwrap();
    picked.host.counters.add_bytes(0, 3, 0);
    rename(&mut scene, "roundr", "x", &[("x", "a")]);
    picked.host.counters.add_bytes(0, 4, 0);
    let host = scene.tracker.hosts().next().unwrap().host.clone();
    assert_eq!(
        (host.name.as_str(), host.counters.sum().bytes_to_host),
        ("x", 7)
    );
}

#[test]
fn a_host_that_is_retried_is_one_that_nobody_has_tried() {
    let mut scene = Scene::new("roundr", "a b");
    let a = scene.id("a");
    assert!(!scene.tracker.retry(a, 1));
    scene.run("!a");
    assert_eq!(scene.run(". ."), "b b");
    assert!(scene.tracker.retry(a, 7));
    assert_eq!(health(&scene, "a"), (Health::Untried, 7));
    let mut both: Vec<_> = scene.run(". .").split(' ').map(str::to_owned).collect();
    both.sort();
    assert_eq!(both, ["a", "b"]);
}
