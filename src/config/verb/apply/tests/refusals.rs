//! Tests of what is refused, and in which words.

use super::{BASE, config, verb};

#[track_caller]
fn refuses(line: &str, message: &str) {
    match verb(line).apply(&config(BASE)) {
        Err(refusal) => assert_eq!(refusal.to_string(), message, "{line}"),
        Ok(after) => panic!("{line}: {after:?}"),
    }
}

#[test]
fn what_does_not_exist_is_named_with_what_may_be_meant() {
    for (line, message) in [
        (
            "delService service=wbe",
            "there is no service \"wbe\": is \"web\" meant?",
        ),
        ("delService service=other", "there is no service \"other\""),
        (
            "delHost service=wbe group=main name=one",
            "there is no service \"wbe\": is \"web\" meant?",
        ),
        (
            "delGroup service=web group=mian",
            "service \"web\" has no group \"mian\": is \"main\" meant?",
        ),
        (
            "setWeight service=web group=main name=oen weight=1",
            "group \"main\" of service \"web\" has no host \"oen\": is \"one\" meant?",
        ),
        (
            "delHost service=web group=main ip=10.0.0.9:80",
            "group \"main\" of service \"web\" has no host at 10.0.0.9:80",
        ),
        (
            "delHost service=web group=spare ip=10.0.0.3:80",
            "group \"spare\" of service \"web\" has several hosts at 10.0.0.3:80: say name= for one of \"three\", \"twin\"",
        ),
        (
            "addHost service=web group=main name=five ip=h:1 before=tow",
            "group \"main\" of service \"web\" has no host \"tow\": is \"two\" meant?",
        ),
        (
            "setHost service=web group=main name=one before=four",
            "group \"main\" of service \"web\" has no host \"four\"",
        ),
        (
            "newService service=dns listen=53 before=wep",
            "there is no service \"wep\": is \"web\" meant?",
        ),
        (
            "newGroup service=web group=new scheduler=rand before=old",
            "service \"web\" has no group \"old\"",
        ),
        (
            "delListen service=web ip=*:82",
            "service \"web\" does not listen at *:82: it listens at *:80, *:81",
        ),
        (
            "addListen service=web ip=82 before=127.0.0.1:80",
            "service \"web\" does not listen at 127.0.0.1:80: it listens at *:80, *:81",
        ),
        (
            "switchPort service=web from=82 to=83",
            "service \"web\" has not one listener of port 82: it listens at *:80, *:81",
        ),
        (
            "delUser name=an",
            "there is no user \"an\": is \"ann\" meant?",
        ),
        (
            "setUser name=ann before=bobb",
            "there is no user \"bobb\": is \"bob\" meant?",
        ),
    ] {
        refuses(line, message);
    }
}

#[test]
fn what_is_there_already_is_refused() {
    for (line, message) in [
        (
            "addHost service=web group=main name=one ip=h:1",
            "group \"main\" of service \"web\" has a host \"one\" already",
        ),
        (
            "setHost service=web group=main name=one rename=two",
            "group \"main\" of service \"web\" has a host \"two\" already",
        ),
        (
            "newGroup service=web group=main scheduler=rand",
            "service \"web\" has a group \"main\" already",
        ),
        (
            "newService service=web listen=53",
            "there is a service \"web\" already",
        ),
        (
            "newService service=dns listen=25",
            "*:25 is listened on already, by service \"mail\"",
        ),
        (
            "addListen service=web ip=25",
            "*:25 is listened on already, by service \"mail\"",
        ),
        (
            "addListen service=web ip=80",
            "*:80 is listened on already, by service \"web\"",
        ),
        (
            "switchPort service=web from=80 to=25",
            "*:25 is listened on already, by service \"mail\"",
        ),
        (
            "addUser name=ann access=full password=x",
            "there is a user \"ann\" already",
        ),
    ] {
        refuses(line, message);
    }
}

#[test]
fn what_a_service_or_a_user_cannot_do_without_stays() {
    for (line, message) in [
        (
            "delHost service=mail group=only name=post",
            "group \"only\" of service \"mail\" is enabled and would have no hosts: force=true insists",
        ),
        (
            "delHost service=mail group=only ip=post:25 force=no",
            "group \"only\" of service \"mail\" is enabled and would have no hosts: force=true insists",
        ),
        (
            "delAllHosts service=web group=main",
            "group \"main\" of service \"web\" is enabled and would have no hosts: force=true insists",
        ),
        (
            "delGroup service=web group=main",
            "group \"main\" of service \"web\" is enabled: enable another one first, or insist with force=true",
        ),
        (
            "delGroup service=mail group=only force=true",
            "group \"only\" of service \"mail\" is the only one: add another one first, or remove the service with delService",
        ),
        (
            "delListen service=mail ip=25",
            "service \"mail\" listens nowhere else: switchPort moves it, delService removes it",
        ),
        (
            "addUser name=eve access=full",
            "user \"eve\" could never log in: give a password or a key",
        ),
        (
            "setUser name=ann password=\"\"",
            "user \"ann\" could never log in: give a password or a key",
        ),
        (
            "setUser name=bob key=\"\"",
            "user \"bob\" could never log in: give a password or a key",
        ),
    ] {
        refuses(line, message);
    }
}
