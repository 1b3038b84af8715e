//! Verbs that change the checks of a group. A check has no name: it is known by its number, from 1.

use super::apply::group_mut;
use super::error::refuse_mistake;
use super::numbered::NumberedList;
use super::table::{CommandSchema, KeySchema, adds, group_keys, optional, replaces, required};
use super::values::Values;
use super::{CommandError, GroupKey, Verb};
use crate::config::attributes::CHECK;
use crate::config::value::Value;
use crate::config::{Check, CheckValue, Config, Limit, ValueKind};

const NUMBER: ValueKind = ValueKind::Check(CheckValue::Number);

fn check_keys() -> Vec<KeySchema> {
    [group_keys(), vec![required("check", NUMBER)]].concat()
}

pub(super) static ADD_CHECK: CommandSchema = adds(
    "addCheck",
    || {
        let before = optional("before", NUMBER);
        [group_keys(), CHECK.keys_to_add(), vec![before]].concat()
    },
    "check the hosts of a group, before or after its other checks",
    |values, config| {
        let mut check = Check::default();
        values.set(&CHECK, &mut check)?;
        refuse_mistake(check.mistake())?;
        let index = values
            .text("before")
            .map(|_| check_index(values, "before", config));
        let index = index.transpose()?;
        let checks = &mut group_mut(config, &values.group())?.checks;
        if checks.len() == Limit::Checks.max() {
            return Err(CommandError::TooMuch(Limit::Checks));
        }
        checks.insert(index.unwrap_or(checks.len()), check);
        Ok(())
    },
);

pub(super) static DEL_CHECK: CommandSchema = replaces(
    "delCheck",
    check_keys,
    "remove a check from a group; the numbers of those after it go down by one",
    |values, config| {
        let index = check_index(values, "check", config)?;
        group_mut(config, &values.group())?.checks.remove(index);
        Ok(())
    },
    |values, config| {
        let (check, new) = (check(values, config)?, Check::default());
        let attributes = CHECK.attributes.iter();
        let said = attributes.filter(|it| it.name == "type" || (it.get)(check) != (it.get)(&new));
        Some(
            said.map(|it| (it.name, (it.get)(check).unwrap_or_default()))
                .collect(),
        )
    },
);

pub(super) static SET_CHECK: CommandSchema = replaces(
    "setCheck",
    || [check_keys(), CHECK.keys_to_set()].concat(),
    "change a check of a group",
    |values, config| {
        let index = check_index(values, "check", config)?;
        let check = &mut group_mut(config, &values.group())?.checks[index];
        values.set(&CHECK, check)?;
        refuse_mistake(check.mistake())
    },
    |values, config| Some(values.previous(&CHECK, check(values, config)?)),
);

/// The index of the check with the number in `key`.
fn check_index(
    values: &Values,
    key: &'static str,
    config: &mut Config,
) -> Result<usize, CommandError> {
    let number = usize::from(values.get(key, Value::check_number)?);
    let group = values.group();
    let count = group_mut(config, &group)?.checks.len();
    match number <= count {
        true => Ok(number - 1),
        false => Err(CommandError::NoCheck {
            group,
            number,
            count,
        }),
    }
}

fn check<'a>(values: &Values, config: &'a Config) -> Option<&'a Check> {
    let number = values.get("check", Value::check_number).ok()?;
    let checks = &values.group().find(config)?.checks;
    checks.get(usize::from(number).checked_sub(1)?)
}

/// The verbs that change the checks `from` of a group into `to`.
pub(super) fn diff_checks(key: &GroupKey, from: &[Check], to: &[Check]) -> Vec<Verb> {
    let checks = NumberedList {
        key: "check",
        table: &CHECK,
        add: &ADD_CHECK,
        set: &SET_CHECK,
        delete: &DEL_CHECK,
    };
    checks.diff(|verb| verb.with_group(key), from, to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::verb::Command;

    fn config() -> Config {
        let text = "<config><service name='s'><listen ip='1'/><group name='g' enable='1'>\
                    <check type='tcp'/><check type='http' path='/ok'/></group></service></config>";
        crate::config::read(text.as_bytes()).unwrap().config
    }

    fn changed(line: &str) -> Result<Config, CommandError> {
        let command: Command = line.parse().unwrap();
        command.into_change().unwrap().apply(&config())
    }

    fn kinds(config: &Config) -> Vec<&'static str> {
        let checks = config.services[0].groups[0].checks.iter();
        checks.map(|check| check.kind.as_str()).collect()
    }

    #[test]
    fn checks_are_known_by_their_numbers() {
        let after = |line: &str| kinds(&changed(line).unwrap());
        assert_eq!(after("delCheck service=s group=g check=1"), ["http"]);
        assert_eq!(
            after("addCheck service=s group=g type=send expect=SSH- before=2"),
            ["tcp", "send", "http"]
        );
        assert_eq!(
            after("addCheck service=s group=g type=agent port=9777"),
            ["tcp", "http", "agent"]
        );
        assert_eq!(
            after("setCheck service=s group=g check=2 type=tcp path=/"),
            ["tcp", "tcp"]
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_would() {
        let refused = |line: &str| changed(line).unwrap_err().to_string();
        assert_eq!(
            refused("delCheck service=s group=g check=3"),
            "group \"g\" of service \"s\" has no check 3: it has 2"
        );
        assert_eq!(
            refused("setCheck service=s group=g check=1 path=/x"),
            "a check of type tcp has no path: it goes with type http"
        );
        assert_eq!(
            refused("setCheck service=s group=g check=2 type=tcp"),
            "a check of type tcp has no path: it goes with type http"
        );
        assert_eq!(
            refused("addCheck service=s group=g type=agent"),
            "a check of type agent needs port: where the agent listens"
        );
    }

    #[test]
    fn a_group_has_16_checks_at_most() {
        let mut config = config();
        let add: Command = "addCheck service=s group=g type=tcp".parse().unwrap();
        let add = add.into_change().unwrap();
        for _ in 2..Limit::Checks.max() {
            config = add.apply(&config).unwrap();
        }
        let refused = add.apply(&config).unwrap_err();
        assert_eq!(refused.to_string(), "more than 16 checks in one group");
    }
}
