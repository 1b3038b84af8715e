//! Tests of logins as a whole, with a clock that the test sets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::users::tests::user;
use super::*;

const ADMIN: &str = "..xpoEyRReGzk";
const HORSE: &str = "zTQkpOPgzO8J.";

/// Users, and a clock.
struct Scene {
    auth: Auth,
    now_ms: Arc<AtomicU64>,
}

impl Scene {
    fn new(users: &[User]) -> Scene {
        let now_ms = Arc::new(AtomicU64::new(0));
        let clock = Arc::clone(&now_ms);
        let clock = move || clock.load(Ordering::Relaxed);
        let auth = Auth::with_clock(users, ProcessKey::of(7), clock);
        Scene { auth, now_ms }
    }

    /// Ann has full access and bob may read; eve has a key alone.
    fn with_three() -> Scene {
        Scene::new(&[
            user("ann", ADMIN, Access::Full),
            user("bob", HORSE, Access::ReadOnly),
            user("eve", "", Access::Full),
        ])
    }

    fn login(&self, address: &str, name: &str, password: &str) -> Login {
        self.auth.login(ip(address), name, password, "web")
    }

    fn pass(&self, ms: u64) {
        self.now_ms.fetch_add(ms, Ordering::Relaxed);
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

const HERE: &str = "192.0.2.1";
const FULL: Login = Login::Welcome(Access::Full);
const READ: Login = Login::Welcome(Access::ReadOnly);

fn wait(seconds: u64) -> Login {
    Login::Wait { seconds }
}

#[test]
fn the_right_password_gives_the_users_own_access() {
    let scene = Scene::with_three();
    assert_eq!(scene.login(HERE, "ann", "admin"), FULL);
    assert_eq!(scene.login(HERE, "bob", "correct horse"), READ);
    for (number, (name, password)) in [
        ("ann", "correct horse"),
        ("bob", "admin"),
        ("ann", ""),
        ("Ann", "admin"),
        ("", ""),
        ("eve", ""),
        ("nobody", "admin"),
        ("ann\0", "admin"),
        ("ann", "admin\0"),
    ]
    .into_iter()
    .enumerate()
    {
        let address = format!("192.0.2.{}", 100 + number);
        let login = scene.login(&address, name, password);
        assert_eq!(login, Login::Wrong, "{name} {password}");
    }
}

#[test]
fn the_decoy_hash_logs_nobody_in() {
    // Each of many names has one of the two hashes checked in its place.
    let scene = Scene::with_three();
    for number in 0..20 {
        for password in ["admin", "correct horse"] {
            let name = format!("user{number}");
            scene.auth.record_success(ip(HERE), &name);
            assert_eq!(scene.login(HERE, &name, password), Login::Wrong);
        }
    }
}

#[test]
fn without_users_nobody_is_let_in() {
    let scene = Scene::new(&[]);
    assert!(!scene.auth.has_users());
    assert_eq!(scene.login(HERE, "ann", "admin"), Login::Wrong);
    scene.auth.set_users(&[user("ann", "", Access::Full)]);
    assert!(scene.auth.has_users());
    assert_eq!(scene.login(HERE, "ann", ""), Login::Wrong);
    scene.auth.set_users(&[user("ann", "admin", Access::Full)]);
    assert_eq!(scene.login(HERE, "ann", "admin"), Login::Wrong);
}

#[test]
fn what_is_too_long_is_wrong_and_counts() {
    let long = "x".repeat(MAX_PASSWORD + 1);
    let scene = Scene::with_three();
    for _ in 0..4 {
        assert_eq!(scene.login(HERE, "ann", &long), Login::Wrong);
    }
    assert_eq!(scene.login(HERE, "ann", &long), wait(1));
    assert_eq!(scene.login(HERE, "ann", "admin"), wait(1));
}

#[test]
fn only_the_address_that_failed_waits() {
    let scene = Scene::with_three();
    for _ in 0..4 {
        assert_eq!(scene.login(HERE, "ann", "wrong"), Login::Wrong);
    }
    // Not even the right one is looked at.
    assert_eq!(scene.login(HERE, "ann", "admin"), wait(1));
    assert_eq!(scene.login("192.0.2.2", "bob", "wrong"), Login::Wrong);
    assert_eq!(scene.login("192.0.2.2", "ann", "admin"), FULL);
    scene.pass(1000);
    assert_eq!(scene.login(HERE, "ann", "wrong"), Login::Wrong);
    assert_eq!(scene.login(HERE, "bob", "correct horse"), wait(2));
    scene.pass(2000);
    assert_eq!(scene.login(HERE, "bob", "correct horse"), READ);
    // That was a success: it begins again.
    for _ in 0..4 {
        assert_eq!(scene.login(HERE, "ann", "wrong"), Login::Wrong);
    }
    assert_eq!(scene.login(HERE, "ann", "wrong"), wait(1));
}

#[test]
fn a_recent_success_passes_beside_failures_and_does_not_hide_them() {
    let scene = Scene::with_three();
    assert_eq!(scene.login(HERE, "bob", "correct horse"), READ);
    for _ in 0..4 {
        assert_eq!(scene.login(HERE, "ann", "wrong"), Login::Wrong);
    }
    assert_eq!(scene.login(HERE, "bob", "correct horse"), READ);
    assert_eq!(scene.login(HERE, "ann", "wrong"), wait(1));
    // Bob has been there before: he waits for failures of his own.
    for _ in 0..4 {
        assert_eq!(scene.login(HERE, "bob", "wrong"), Login::Wrong);
    }
    assert_eq!(scene.login(HERE, "bob", "wrong"), wait(1));
    // Elsewhere it is as any other: or nothing would slow down who guesses it.
    for _ in 0..4 {
        scene.auth.record_failure(ip("192.0.2.2"), "ann", "web");
    }
    assert_eq!(scene.login("192.0.2.2", "bob", "correct horse"), wait(1));
}

#[test]
fn a_success_is_not_checked_again_for_a_minute() {
    let scene = Scene::with_three();
    assert_eq!(scene.login(HERE, "ann", "admin"), FULL);
    for _ in 0..4 {
        scene.auth.record_failure(ip(HERE), "ann", "ssh");
    }
    // Nothing is checked now.
    assert_eq!(scene.login(HERE, "ann", "admin"), FULL);
    scene.pass(59_999);
    for _ in 0..4 {
        scene.auth.record_failure(ip(HERE), "ann", "ssh");
    }
    assert_eq!(scene.login(HERE, "ann", "admin"), FULL);
    scene.pass(1);
    assert_eq!(scene.login(HERE, "ann", "admin"), wait(10));
}

#[test]
fn a_changed_user_must_log_in_again() {
    let before = [
        user("ann", ADMIN, Access::Full),
        user("bob", HORSE, Access::ReadOnly),
    ];
    let scene = Scene::new(&before);
    let both = || {
        [("ann", "admin"), ("bob", "correct horse")]
            .map(|(name, password)| scene.login(HERE, name, password))
    };
    assert_eq!(both(), [FULL, READ]);
    let readonly = user("ann", ADMIN, Access::ReadOnly);
    scene.auth.set_users(&[before[1].clone(), readonly]);
    assert_eq!(both(), [READ, READ]);
    scene
        .auth
        .set_users(&[before[1].clone(), user("ann", HORSE, Access::Full)]);
    assert_eq!(both(), [Login::Wrong, READ]);
    scene.auth.set_users(&[before[1].clone()]);
    assert_eq!(both(), [Login::Wrong, READ]);
    // As before, but nobody remembers.
    scene.auth.set_users(&before);
    for _ in 0..4 {
        scene.auth.record_failure(ip(HERE), "x", "web");
    }
    assert!(matches!(both()[..], [Login::Wait { .. }, READ]));
}

#[test]
fn a_user_that_changes_during_the_check_is_not_logged_in() {
    let scene = Scene::with_three();
    let inner = &scene.auth.0;
    let attempt = Attempt {
        address: ClientAddress::of(ip(HERE)),
        name: "ann",
        password: "admin",
        tag: inner.key.tag("ann", "admin"),
    };
    let ann = Arc::clone(inner.users().find("ann").unwrap());
    scene
        .auth
        .set_users(&[user("ann", ADMIN, Access::ReadOnly)]);
    assert_eq!(inner.accept(&attempt, &ann), None);
    let ann = Arc::clone(inner.users().find("ann").unwrap());
    assert_eq!(inner.accept(&attempt, &ann), Some(Access::ReadOnly));
}

/// The one check for unknown addresses, taken from elsewhere.
fn a_check(scene: &Scene) -> CheckSlot<'_> {
    let inner = &scene.auth.0;
    let elsewhere = ClientAddress::of(ip("198.51.100.1"));
    match inner
        .slots
        .take(elsewhere, "eve", inner.key.tag("eve", "x"))
    {
        SlotResult::Check(slot) => slot,
        SlotResult::Same | SlotResult::Busy => panic!("nobody else is there"),
    }
}

/// Spins until this many checks wait.
fn until_waiting(auth: &Auth, count: usize) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while auth.0.slots.limiter().queue.waiting() != count {
        assert!(Instant::now() < deadline);
        thread::yield_now();
    }
}

#[test]
fn the_rate_limit_is_checked_again_after_the_queue() {
    let scene = Scene::with_three();
    let slot = a_check(&scene);
    thread::scope(|scope| {
        let auth = scene.auth.clone();
        let waiter = scope.spawn(move || auth.login(ip(HERE), "ann", "admin", "web"));
        until_waiting(&scene.auth, 1);
        // By the time it is their turn, others there have failed too often.
        for _ in 0..4 {
            scene.auth.record_failure(ip(HERE), "ann", "web");
        }
        drop(slot);
        assert_eq!(waiter.join().unwrap(), wait(1));
    });
}

#[test]
fn one_of_a_network_waits_and_the_same_login_waits_with_it() {
    let scene = Scene::with_three();
    let slot = a_check(&scene);
    thread::scope(|scope| {
        let login = || {
            let auth = scene.auth.clone();
            scope.spawn(move || auth.login(ip(HERE), "ann", "admin", "web"))
        };
        let first = login();
        until_waiting(&scene.auth, 1);
        let second = login();
        // Another one there does not wait, and others elsewhere do.
        assert_eq!(scene.login("192.0.2.2", "bob", "x"), wait(BUSY_S));
        drop(slot);
        for login in [first, second] {
            assert_eq!(login.join().unwrap(), FULL);
        }
    });
    // It was no failure.
    assert_eq!(scene.auth.may_try(ip("192.0.2.2")), Ok(()));
}

#[test]
fn logins_beyond_the_queue_get_a_retry_time() {
    let scene = Scene::with_three();
    let slot = a_check(&scene);
    let most = u8::try_from(queue::MAX_UNKNOWN_WAITING).unwrap();
    thread::scope(|scope| {
        let waiters = (0..most).map(|site| {
            let auth = scene.auth.clone();
            let address = IpAddr::from([10, 0, site, 1]);
            scope.spawn(move || auth.login(address, "ann", "admin", "web"))
        });
        let waiters: Vec<_> = waiters.collect();
        until_waiting(&scene.auth, queue::MAX_UNKNOWN_WAITING);
        assert_eq!(scene.login("192.0.2.2", "ann", "admin"), wait(BUSY_S));
        drop(slot);
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), FULL);
        }
    });
}

#[test]
fn a_known_login_is_checked_while_unknown_ones_wait_and_its_network_fails() {
    let scene = Scene::with_three();
    assert_eq!(scene.login("2001:db8::1", "ann", "admin"), FULL);
    assert!(scene.auth.is_known(ip("2001:db8::1")) && !scene.auth.is_known(ip("2001:db8::2")));
    scene.pass(3600 * 1000);
    let slot = a_check(&scene);
    for _ in 0..40 {
        scene.auth.record_failure(ip("2001:db8::2"), "ann", "web");
    }
    assert_eq!(scene.login("2001:db8::2", "ann", "admin"), wait(60));
    assert_eq!(scene.login("2001:db8::1", "bob", "correct horse"), wait(60));
    assert_eq!(scene.login("2001:db8::1", "ann", "admin"), FULL);
    drop(slot);
    // A user that was removed is unknown.
    scene
        .auth
        .set_users(&[user("bob", HORSE, Access::ReadOnly)]);
    assert!(!scene.auth.is_known(ip("2001:db8::1")));
}

#[test]
fn failures_with_keys_slow_down_passwords() {
    let scene = Scene::with_three();
    for _ in 0..4 {
        assert_eq!(scene.auth.may_try(ip("2001:db8::1")), Ok(()));
        scene.auth.record_failure(ip("2001:db8::1"), "ann", "ssh");
    }
    assert_eq!(scene.auth.may_try(ip("2001:db8::2")), Err(1));
    assert_eq!(scene.login("2001:db8::3", "ann", "admin"), wait(1));
    scene.auth.record_success(ip("2001:db8::4"), "ann");
    assert_eq!(scene.auth.may_try(ip("2001:db8::1")), Ok(()));
}

#[test]
fn a_failure_is_one_line_whatever_the_name_is() {
    let line = |name: &str| failure(ClientAddress::of(ip("::ffff:192.0.2.1")), name, "web");
    let expected = |shown: &str| format!("login failed: user {shown} from 192.0.2.1 (web)");
    for (name, shown) in [
        ("ann", "ann"),
        ("", ""),
        ("J\u{fc}rgen 2", "J\u{fc}rgen 2"),
        ("a\nb\r\x1b[2J\0", "a\\u{a}b\\u{d}\\u{1b}[2J\\u{0}"),
        ("a\u{85}\u{2028}\u{202e}", "a\\u{85}\\u{2028}\\u{202e}"),
        ("x from 10.0.0.1 (web)", "x from 10.0.0.1 (web)"),
    ] {
        assert_eq!(line(name), expected(shown));
    }
    let most = "ü".repeat(64);
    assert_eq!(line(&most), expected(&most));
    assert_eq!(line(&format!("{most}x")), expected(&format!("{most}...")));
    let v6 = failure(ClientAddress::of(ip("2001:db8::1")), "ann", "ssh");
    assert_eq!(v6, "login failed: user ann from 2001:db8::1 (ssh)");
}

#[test]
fn it_tells_the_time_by_itself() {
    let auth = Auth::new(&[user("ann", ADMIN, Access::Full)]).unwrap();
    assert_eq!(auth.login(ip(HERE), "ann", "admin", "web"), FULL);
    for _ in 0..4 {
        auth.record_failure(ip(HERE), "ann", "web");
    }
    assert_eq!(auth.may_try(ip(HERE)), Err(1));
    let deadline = Instant::now() + Duration::from_secs(10);
    while auth.may_try(ip(HERE)).is_err() {
        assert!(Instant::now() < deadline);
        thread::yield_now();
    }
}

/// Credentials, as sessions over SSH keep them.
#[cfg(feature = "ssh")]
mod credentials {
    use super::*;

    /// Ann, who has these keys.
    fn ann_with(password: &str, access: Access, keys: &[&str]) -> Vec<User> {
        vec![User {
            name: "ann".to_owned(),
            password: (!password.is_empty()).then(|| password.to_owned()),
            access,
            keys: keys.iter().map(|key| format!("kind {key}")).collect(),
        }]
    }

    fn auth_at_zero(users: &[User]) -> Auth {
        Auth::with_clock(users, ProcessKey::of(1), || 0)
    }

    #[test]
    fn a_key_lets_its_owner_in_and_nobody_else() {
        let auth = auth_at_zero(&ann_with("", Access::ReadOnly, &["AAAA", "AQID"]));
        let pass = |name: &str, key: &[u8]| auth.credential_by_key(name, key);
        let found = pass("ann", &[1, 2, 3]).unwrap();
        assert_eq!((found.name(), found.access()), ("ann", Access::ReadOnly));
        assert!(pass("ann", &[0, 0, 0]).is_some());
        assert!(pass("ann", &[1, 2]).is_none() && pass("ann", b"").is_none());
        assert!(pass("bob", &[1, 2, 3]).is_none());
    }

    #[test]
    fn failures_keep_no_key_out() {
        let here = std::net::Ipv4Addr::LOCALHOST.into();
        let auth = auth_at_zero(&ann_with("", Access::Full, &["AQID"]));
        for _ in 0..20 {
            auth.record_failure(here, "ann", "ssh");
        }
        assert!(auth.may_try(here).is_err());
        assert!(auth.credential_by_key("ann", &[1, 2, 3]).is_some());
        auth.record_success(here, "ann");
        assert!(auth.may_try(here).is_ok());
    }

    #[test]
    fn a_pass_holds_until_what_it_was_given_for_changes() {
        const DES: &str = "..xpoEyRReGzk";
        let auth = auth_at_zero(&ann_with(DES, Access::Full, &["AQID"]));
        let by_password = auth.credential_by_password("ann").unwrap();
        let by_key = auth.credential_by_key("ann", &[1, 2, 3]).unwrap();
        let is_valid = |users: &[User]| {
            auth.set_users(users);
            (auth.is_valid(&by_password), auth.is_valid(&by_key))
        };
        assert_eq!(
            is_valid(&ann_with(DES, Access::Full, &["AQID"])),
            (true, true)
        );
        assert_eq!(
            is_valid(&ann_with(DES, Access::Full, &["AAAA", "AQID"])),
            (true, true)
        );
        assert_eq!(
            is_valid(&ann_with(DES, Access::Full, &["AAAA"])),
            (true, false)
        );
        // From here on she is another user.
        let other = "zTDVLT7RAx.s6";
        assert_eq!(
            is_valid(&ann_with(other, Access::Full, &["AQID"])),
            (false, true)
        );
        assert_eq!(
            is_valid(&ann_with("", Access::Full, &["AQID"])),
            (false, true)
        );
        assert_eq!(
            is_valid(&ann_with("", Access::ReadOnly, &["AQID"])),
            (false, false)
        );
        assert_eq!(is_valid(&[]), (false, false));
        assert!(auth.credential_by_password("bob").is_none());
    }
}
