//! Saving: contents, owner and mode of the file, and its backups.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::support::txlb::Folder;
use txlb::config::Config;
use txlb::control::{File, SaveError, Saved};

const TEXT: &str = "<config>
  <!-- Ours. -->
  <service name='s'>
    <listen ip='8080'/>
    <group name='g' enable='yes'>
      <host name='a' ip='a:1' weight='1'/> <!-- the first -->
    </group>
  </service>
</config>
";

fn with_weight(weight: u32) -> String {
    TEXT.replace("weight='1'", &format!("weight='{weight}'"))
}

/// 2026-11-22 17:02:58.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_366_978)
}

fn opened(folder: &Folder, text: &str) -> (PathBuf, File, Config) {
    let path = folder.write("lb.xml", text);
    let (file, reading) = File::read(&path).unwrap();
    (path, file, reading.config)
}

fn weigh(config: &mut Config, weight: u32) {
    config.services[0].groups[0].hosts[0].weight = weight;
}

/// Saves with another weight.
fn save(
    file: &mut File,
    config: &mut Config,
    weight: u32,
    force: bool,
) -> Result<Saved, SaveError> {
    weigh(config, weight);
    file.save(config, force, now())
}

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_file_says_what_is_in_force_and_the_backup_what_it_said() {
    let folder = Folder::new();
    let (path, mut file, mut config) = opened(&folder, TEXT);
    let saved = save(&mut file, &mut config, 7, false).unwrap();
    assert_eq!(saved.notes, [""; 0]);
    assert_eq!(text(&path), with_weight(7));
    let backup = saved.backup.unwrap();
    assert_eq!(backup.file_name().unwrap(), "lb.xml.txlb-20261122170258");
    assert_eq!(text(backup), TEXT);
    assert_eq!(names(folder.path()).len(), 2);
    // What was saved counts as read.
    assert!(matches!(file.reread().unwrap(), txlb::control::Changed::No));
    save(&mut file, &mut config, 8, false).unwrap();
    assert_eq!(text(&path), with_weight(8));
}

#[test]
fn nothing_is_written_where_nothing_has_changed() {
    let folder = Folder::new();
    let (path, mut file, mut config) = opened(&folder, TEXT);
    let before = fs::metadata(&path).unwrap();
    let saved = save(&mut file, &mut config, 1, false).unwrap();
    assert_eq!(saved, Saved::default());
    assert_eq!(fs::metadata(&path).unwrap().ino(), before.ino());
    assert_eq!(names(folder.path()), ["lb.xml"]);
}

#[test]
fn mode_and_owner_are_kept() {
    let folder = Folder::new();
    let (path, mut file, mut config) = opened(&folder, TEXT);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    // Root alone can give a file away; others see at least that theirs stays theirs.
    let given = chown(&path, Some(12_345), Some(54_321)).is_ok();
    let before = fs::metadata(&path).unwrap();
    let saved = save(&mut file, &mut config, 2, false).unwrap();
    assert_eq!(saved.notes, [""; 0]);
    let owned = |path: &Path| {
        let metadata = fs::metadata(path).unwrap();
        (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777)
    };
    let owner = if given {
        (12_345, 54_321, 0o640)
    } else {
        (before.uid(), before.gid(), 0o640)
    };
    assert_eq!(owned(&path), owner);
    assert_eq!(owned(&saved.backup.unwrap()), owner);
}

#[test]
fn a_link_stays_and_its_target_is_replaced() {
    let folder = Folder::new();
    fs::create_dir(folder.file("real")).unwrap();
    folder.write("real/target.xml", TEXT);
    symlink("real/target.xml", folder.file("one")).unwrap();
    symlink("one", folder.file("lb.xml")).unwrap();
    let (mut file, reading) = File::read(&folder.file("lb.xml")).unwrap();
    let mut config = reading.config;
    let saved = save(&mut file, &mut config, 3, false).unwrap();
    assert_eq!(
        fs::read_link(folder.file("lb.xml")).unwrap(),
        Path::new("one")
    );
    assert_eq!(text(folder.file("real/target.xml")), with_weight(3));
    assert!(
        saved
            .backup
            .unwrap()
            .ends_with("real/target.xml.txlb-20261122170258")
    );
    assert_eq!(names(folder.path()), ["lb.xml", "one", "real"]);
}

#[test]
fn another_name_of_the_file_goes_on_naming_the_old_one() {
    let folder = Folder::new();
    let (path, mut file, mut config) = opened(&folder, TEXT);
    fs::hard_link(&path, folder.file("other")).unwrap();
    save(&mut file, &mut config, 3, false).unwrap();
    assert_eq!(
        (text(&path), text(folder.file("other"))),
        (with_weight(3), TEXT.to_owned())
    );
}

#[test]
fn a_file_edited_by_hand_meanwhile_is_refused() {
    let folder = Folder::new();
    let (path, mut file, mut config) = opened(&folder, TEXT);
    let by_hand = TEXT.replace("Ours.", "Mine.");
    folder.write("lb.xml", &by_hand);
    let error = save(&mut file, &mut config, 4, false).unwrap_err();
    let shown = path.display();
    assert_eq!(
        error.to_string(),
        format!(
            "{shown} has been changed since it was read: 'reload' takes what it says now, \
             'saveConfig force=true' writes what is in force into it"
        )
    );
    assert_eq!(text(&path), by_hand);
    assert_eq!(names(folder.path()), ["lb.xml"]);
    // Even one that says nothing else.
    assert!(save(&mut file, &mut config, 1, false).is_err());
}

#[test]
fn with_force_the_edits_by_hand_stay_where_they_may() {
    let folder = Folder::new();
    let (path, mut file, mut config) = opened(&folder, TEXT);
    let by_hand = TEXT.replace("Ours.", "Mine.").replace("a:1", "b:2");
    folder.write("lb.xml", &by_hand);
    let saved = save(&mut file, &mut config, 4, true).unwrap();
    assert_eq!(text(&path), with_weight(4).replace("Ours.", "Mine."));
    assert!(saved.notes[0].contains("has stayed"), "{saved:?}");
    assert_eq!(text(saved.backup.unwrap()), by_hand);
    assert_eq!(
        save(&mut file, &mut config, 5, false).unwrap().notes,
        [""; 0]
    );
}

#[test]
fn with_force_a_file_that_has_been_broken_is_mended() {
    let folder = Folder::new();
    let (path, mut file, mut config) = opened(&folder, TEXT);
    folder.write("lb.xml", "<config>");
    let saved = save(&mut file, &mut config, 4, true).unwrap();
    assert_eq!(text(&path), with_weight(4));
    assert!(saved.notes[0].contains("as last read"), "{saved:?}");
    assert_eq!(text(saved.backup.unwrap()), "<config>");
}

#[test]
fn with_force_edits_by_hand_that_agree_are_taken_as_read() {
    let folder = Folder::new();
    let (_, mut file, mut config) = opened(&folder, TEXT);
    let by_hand = with_weight(6).replace("Ours.", "Mine.");
    folder.write("lb.xml", by_hand);
    let saved = save(&mut file, &mut config, 6, true).unwrap();
    assert_eq!(saved.backup, None);
    assert!(save(&mut file, &mut config, 7, false).is_ok());
}

#[test]
fn a_file_that_is_gone_comes_back_where_there_is_an_empty_one() {
    let folder = Folder::new();
    let (path, mut file, mut config) = opened(&folder, TEXT);
    fs::remove_file(&path).unwrap();
    for force in [false, true] {
        let error = save(&mut file, &mut config, 4, force).unwrap_err();
        assert!(matches!(error, SaveError::Missing(_)), "{error}");
        assert!(
            error.to_string().contains("is gone: make an empty file"),
            "{error}"
        );
    }
    assert_eq!(names(folder.path()), [""; 0]);
    folder.write("lb.xml", "");
    save(&mut file, &mut config, 4, true).unwrap();
    assert_eq!(text(&path), with_weight(4));
}

#[test]
fn what_could_not_have_been_read_is_not_replaced() {
    let folder = Folder::new();
    let (path, mut file, mut config) = opened(&folder, TEXT);
    folder.write("lb.xml", TEXT.to_owned() + &" ".repeat(1 << 20));
    let error = save(&mut file, &mut config, 4, true).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("is larger than 1 MiB: move it away"),
        "{error}"
    );
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let error = save(&mut file, &mut config, 4, true).unwrap_err();
    assert!(
        error.to_string().contains("is not a file: move it away"),
        "{error}"
    );
    assert_eq!(names(folder.path()), ["lb.xml"]);
}

#[test]
fn what_no_file_can_say_is_not_saved() {
    let folder = Folder::new();
    let (path, mut file, mut config) = opened(&folder, TEXT);
    config.services[0].listens.clear();
    let error = file.save(&config, false, now()).unwrap_err();
    assert!(matches!(error, SaveError::Edit(..)), "{error}");
    assert_eq!(text(path), TEXT);
}

#[test]
fn the_newest_10_backups_are_kept_even_of_one_second() {
    let folder = Folder::new();
    let (path, mut file, mut config) = opened(&folder, TEXT);
    for weight in 2..=100 {
        let saved = save(&mut file, &mut config, weight, false).unwrap();
        assert_eq!(text(saved.backup.unwrap()), with_weight(weight - 1));
    }
    assert_eq!(text(&path), with_weight(100));
    let names = names(folder.path());
    assert_eq!(names.len(), 11, "{names:?}");
    // Their names give their order.
    for (name, weight) in names[1..].iter().zip(90..) {
        assert_eq!(text(folder.file(name)), with_weight(weight));
    }
}

#[test]
fn no_other_file_is_ever_removed() {
    let folder = Folder::new();
    let others = [
        "a.xml.txlb-20200101000000",
        "lb.xml.txlb-2020010100000",
        "lb.xml.txlb-202001010000000",
        "lb.xml.txlb-2020010100000x",
        "lb.xml.txlb-new-0123456789abcde",
        "lb.xml.txlb-new-0123456789ABCDEF",
        "lb.xml.txlb-new-0123456789abcdef0",
        "lb.xmltxlb-20200101000000",
        "xlb.xml.txlb-20200101000000",
    ];
    for name in others {
        folder.write(name, "");
    }
    fs::create_dir(folder.file("lb.xml.txlb-20200101000000")).unwrap();
    symlink("a.xml", folder.file("lb.xml.txlb-20200101000001")).unwrap();
    symlink("a.xml", folder.file("lb.xml.txlb-new-0000000000000000")).unwrap();
    let (_, mut file, mut config) = opened(&folder, TEXT);
    let before = names(folder.path());
    for weight in 2..30 {
        assert_eq!(
            save(&mut file, &mut config, weight, false).unwrap().notes,
            [""; 0]
        );
    }
    let after = names(folder.path());
    assert_eq!(after.len(), before.len() + 10);
    assert!(before.iter().all(|name| after.contains(name)), "{after:?}");
}

#[test]
fn what_a_killed_save_left_behind_is_removed_by_the_next() {
    let folder = Folder::new();
    folder.write("lb.xml.txlb-new-0123456789abcdef", "half");
    let (_, mut file, mut config) = opened(&folder, TEXT);
    save(&mut file, &mut config, 2, false).unwrap();
    assert_eq!(
        names(folder.path()),
        ["lb.xml", "lb.xml.txlb-20261122170258"]
    );
}

#[test]
fn backups_from_a_clock_that_was_ahead_are_the_oldest() {
    let folder = Folder::new();
    for number in 0..12 {
        folder.write(&format!("lb.xml.txlb-209901010000{number:02}"), "");
    }
    let (_, mut file, mut config) = opened(&folder, TEXT);
    for weight in 2..5 {
        save(&mut file, &mut config, weight, false).unwrap();
    }
    let names = names(folder.path());
    assert_eq!(names.len(), 11);
    let (own, ahead) = names[1..].split_at(3);
    for (name, weight) in own.iter().zip(1..) {
        assert_eq!(text(folder.file(name)), with_weight(weight));
    }
    assert!(ahead.iter().all(|name| name.contains("2099")), "{names:?}");
}
