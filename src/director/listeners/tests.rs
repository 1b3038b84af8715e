//! Which sockets are wanted, and what of it can be bound.

use super::*;

fn config(services: &[(&str, &[&str])]) -> Config {
    let mut text = String::from("<config>");
    for (name, listens) in services {
        text += &format!("<service name='{name}'>");
        for listen in *listens {
            text += &format!("<listen ip='{listen}'/>");
        }
        text += "<group name='g' enable='true'><host ip='127.0.0.1:1'/></group></service>";
    }
    text += "</config>";
    crate::config::read(text.as_bytes()).unwrap().config
}

#[test]
fn port_0_gives_each_service_a_port_of_its_own() {
    let config = config(&[("a", &["127.0.0.1:0"]), ("b", &["127.0.0.1:0"])]);
    let wanted = wanted(&config, &Wanted::new(), Resolving::New).unwrap();
    let mut listeners = Listeners::default();
    let opened = listeners.open(&wanted, 2, |_| true).unwrap();
    let shares = listeners.replace(&wanted, opened, 2);
    assert_eq!(shares.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
    let port = |service| listeners.addresses(&wanted, service).next().unwrap().port();
    assert_ne!(port("a"), port("b"));
}

#[test]
fn a_name_that_leads_to_another_services_place_is_refused() {
    let config = config(&[("a", &["127.0.0.1:4711"]), ("b", &["localhost:4711"])]);
    assert!(matches!(
        wanted(&config, &Wanted::new(), Resolving::New),
        Err(Error::ListenTwice { .. })
    ));
}

#[test]
fn a_name_that_does_not_resolve_any_more_is_listened_at_where_it_was() {
    // The name is nobody's, now and for ever.
    let config = config(&[("a", &["gone.invalid:4711"])]);
    let new = wanted(&config, &Wanted::new(), Resolving::New);
    assert!(matches!(new, Err(Error::ListenName { .. })), "{new:?}");
    let key = ListenKey {
        place: Place::At(([127, 0, 0, 1], 4711).into()),
        service: None,
    };
    let door = Door {
        service: "a".to_owned(),
        name: Some("gone.invalid".to_owned()),
    };
    let before = Wanted::from([(key, door)]);
    assert_eq!(wanted(&config, &before, Resolving::All).unwrap(), before);
    // A change does not even ask.
    assert_eq!(wanted(&config, &before, Resolving::New).unwrap(), before);
}

#[test]
fn a_change_keeps_a_name_where_it_was_and_a_reload_follows_it() {
    let config = config(&[("a", &["localhost:4711"])]);
    let resolved = wanted(&config, &Wanted::new(), Resolving::New).unwrap();
    let moved: Wanted = resolved
        .iter()
        .take(1)
        .map(|(_, door)| {
            let key = ListenKey {
                place: Place::At(([127, 0, 0, 77], 4711).into()),
                service: None,
            };
            (key, door.clone())
        })
        .collect();
    assert_eq!(wanted(&config, &moved, Resolving::New).unwrap(), moved);
    assert_eq!(wanted(&config, &moved, Resolving::All).unwrap(), resolved);
}

#[test]
fn what_cannot_be_bound_binds_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let places = [free.as_str(), &taken.local_addr().unwrap().to_string()];
    let wanted = wanted(&config(&[("a", &places)]), &Wanted::new(), Resolving::New).unwrap();
    let error = Listeners::default().open(&wanted, 2, |_| true).unwrap_err();
    assert!(matches!(error, Error::Listen { .. }));
    TcpListener::bind(&free).unwrap();
}

#[test]
fn overlapping_places_of_one_configuration_are_bound() {
    let any = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let places = [format!("127.0.0.1:{any}"), format!("*:{any}")];
    let wanted = wanted(
        &config(&[("a", &[&places[0], &places[1]])]),
        &Wanted::new(),
        Resolving::New,
    )
    .unwrap();
    assert_eq!(
        Listeners::default()
            .open(&wanted, 2, |_| true)
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn an_address_that_is_not_this_machines_is_excused_for_a_name_only() {
    // An address for documentation is nobody's.
    let wanted = wanted(
        &config(&[("a", &["203.0.113.5:0", "127.0.0.1:0"])]),
        &Wanted::new(),
        Resolving::New,
    )
    .unwrap();
    assert!(Listeners::default().open(&wanted, 1, |_| true).is_err());
    let named = |name: &str| Some(name.to_owned());
    let mut excused = wanted.clone();
    excused
        .values_mut()
        .for_each(|door| door.name = named("both"));
    assert_eq!(
        Listeners::default()
            .open(&excused, 1, |_| true)
            .unwrap()
            .len(),
        1
    );
    // Nor does a change look for what was not there before.
    let open = |is_new: bool| Listeners::default().open(&excused, 1, |_| is_new);
    assert_eq!(open(false).unwrap().len(), 0);
    let mut apart = excused.clone();
    for (key, door) in &mut apart {
        door.name = named(&key.place.to_string());
    }
    assert!(Listeners::default().open(&apart, 1, |_| true).is_err());
}
