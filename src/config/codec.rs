//! Codecs of attributes: how values of each kind are parsed into a model, and written.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::check::{ByteString, CheckKind, CheckValue, StatusRanges};
use super::error::Error;
use super::listener::{networks_text, proxy_text, send_proxy_text};
use super::value::{NO_ADDRESS, Value, ValueKind, mode_text, path_text, seconds_text};
use super::{
    Access, CustomNames, Endpoint, HostState, Initial, ListenAddress, LogFormat, Network,
    ProxyVersion, Scheduler, Source, WhenFailed,
};

/// How values of a kind are parsed and written.
pub(super) struct Codec<V> {
    pub(super) kind: ValueKind,
    pub(super) parse: fn(&Value<'_>, &CustomNames) -> Result<V, Error>,
    pub(super) text: fn(&V) -> Option<String>,
}

pub(super) const NAME: Codec<String> = Codec {
    kind: ValueKind::NewName,
    parse: |value, _| value.name(),
    text: |name| Some(name.clone()),
};
/// A name that may be left out.
pub(super) const OPTIONAL_NAME: Codec<Option<String>> = Codec {
    kind: ValueKind::NewName,
    parse: |value, _| value.name().map(Some),
    text: Option::clone,
};
pub(super) const HOST_ADDRESS: Codec<Endpoint> = Codec {
    kind: ValueKind::HostAddress,
    parse: |value, _| value.address(),
    text: |address| Some(address.to_string()),
};
pub(super) const LISTENER_ADDRESS: Codec<ListenAddress> = Codec {
    kind: ValueKind::ListenAddress,
    parse: |value, _| value.address(),
    text: |address| Some(address.to_string()),
};
/// The address of an admin interface. txLoadBalancer wrote `None` for one that was off.
pub(super) const LISTEN_OR_NONE: Codec<Option<ListenAddress>> = Codec {
    kind: ValueKind::ListenAddress,
    parse: |value, _| match value.text {
        NO_ADDRESS => Ok(None),
        _ => value.address_of_one_port().map(Some),
    },
    text: |listen| {
        let none = || NO_ADDRESS.to_owned();
        Some(listen.as_ref().map_or_else(none, ToString::to_string))
    },
};
pub(super) const LISTEN: Codec<Option<ListenAddress>> = Codec {
    parse: |value, _| value.address_of_one_port().map(Some),
    ..LISTEN_OR_NONE
};
pub(super) const SECONDS: Codec<Option<Duration>> = Codec {
    kind: ValueKind::Seconds,
    parse: |value, _| value.seconds(),
    text: |seconds| Some(seconds_text(*seconds)),
};
pub(super) const TIMEOUT: Codec<Duration> = Codec {
    kind: ValueKind::Timeout,
    parse: |value, _| value.timeout(),
    text: |timeout| Some(seconds_text(Some(*timeout))),
};
pub(super) const REFRESH: Codec<Option<Duration>> = Codec {
    kind: ValueKind::Refresh,
    parse: |value, _| value.refresh(),
    ..SECONDS
};
pub(super) const LOOSE_FLAG: Codec<bool> = Codec {
    kind: ValueKind::LooseFlag,
    parse: |value, _| Ok(value.flag()),
    text: |flag| Some(flag.to_string()),
};
/// Here any word but a false one is true; samples have `secure="secure"`.
pub(super) const ANY_WORD: Codec<bool> = Codec {
    parse: |value, _| Ok(value.boolean_word() != Some(false)),
    ..LOOSE_FLAG
};
pub(super) const FLAG: Codec<bool> = Codec {
    kind: ValueKind::Flag,
    parse: |value, _| value.boolean(),
    ..LOOSE_FLAG
};
pub(super) const SCHEDULER: Codec<Scheduler> = Codec {
    kind: ValueKind::Scheduler,
    parse: |value, custom| value.scheduler(custom),
    text: |scheduler| Some(scheduler.to_string()),
};
pub(super) const PREFIX: Codec<u8> = Codec {
    kind: ValueKind::Prefix,
    parse: |value, _| value.prefix(),
    text: |bits| Some(bits.to_string()),
};
pub(super) const WEIGHT: Codec<u32> = Codec {
    kind: ValueKind::Weight,
    parse: |value, _| value.weight(),
    text: |weight| Some(weight.to_string()),
};
pub(super) const RATE: Codec<u32> = Codec {
    kind: ValueKind::Rate,
    parse: |value, _| value.rate(),
    text: |rate| Some(rate.to_string()),
};
pub(super) const REPLAY: Codec<u32> = Codec {
    kind: ValueKind::Replay,
    parse: |value, _| value.replay(),
    text: |bytes| Some(bytes.to_string()),
};
pub(super) const PROXY: Codec<bool> = Codec {
    kind: ValueKind::Proxy,
    parse: |value, _| value.proxy(),
    text: |proxy| Some(proxy_text(*proxy)),
};
pub(super) const SEND_PROXY: Codec<Option<ProxyVersion>> = Codec {
    kind: ValueKind::SendProxy,
    parse: |value, _| value.send_proxy(),
    text: |version| Some(send_proxy_text(*version)),
};
pub(super) const NETWORKS: Codec<Vec<Network>> = Codec {
    kind: ValueKind::Networks,
    parse: |value, _| value.networks(),
    text: |networks| Some(networks_text(networks)).filter(|text| !text.is_empty()),
};
pub(super) const SERVER_NAMES: Codec<Vec<String>> = Codec {
    kind: ValueKind::ServerNames,
    parse: |value, _| value.server_names(),
    text: |names| Some(names.join(" ")).filter(|names| !names.is_empty()),
};
pub(super) const PROTOCOLS: Codec<Vec<String>> = Codec {
    kind: ValueKind::Protocols,
    parse: |value, _| value.protocols(),
    ..SERVER_NAMES
};
/// The name of a group that is there.
pub(super) const GROUP_NAME: Codec<String> = Codec {
    kind: ValueKind::Group,
    ..NAME
};
pub(super) const WHEN_FAILED: Codec<WhenFailed> = Codec {
    kind: ValueKind::WhenFailed,
    parse: |value, _| value.when_failed(),
    text: |when_failed| Some(when_failed.as_str().to_owned()),
};
/// An empty one is any.
pub(super) const INTERFACE: Codec<Option<String>> = Codec {
    kind: ValueKind::Interface,
    parse: |value, _| value.or_empty(Value::interface),
    text: Option::clone,
};
/// An empty one is the system's choice.
pub(super) const SOURCE: Codec<Source> = Codec {
    kind: ValueKind::Source,
    parse: |value, _| value.source(),
    text: |source| Some(source.to_string()).filter(|text| !text.is_empty()),
};
pub(super) const STATE: Codec<HostState> = Codec {
    kind: ValueKind::State,
    parse: |value, _| value.state(),
    text: |state| Some(state.as_str().to_owned()),
};
pub(super) const INITIAL: Codec<Initial> = Codec {
    kind: ValueKind::Initial,
    parse: |value, _| value.initial(),
    text: |initial| Some(initial.as_str().to_owned()),
};
pub(super) const ACCESS: Codec<Access> = Codec {
    kind: ValueKind::Access,
    parse: |value, _| value.access(),
    text: |access| Some(access.as_str().to_owned()),
};
/// An empty password is none.
pub(super) const PASSWORD: Codec<Option<String>> = Codec {
    kind: ValueKind::Secret,
    parse: |value, _| Ok(Some(value.text.to_owned()).filter(|text| !text.is_empty())),
    text: Option::clone,
};
pub(super) const PATH: Codec<Option<PathBuf>> = Codec {
    kind: ValueKind::Path,
    parse: |value, _| value.path().map(Some),
    text: |path| path.as_deref().map(path_text),
};
pub(super) const MODE: Codec<u32> = Codec {
    kind: ValueKind::Mode,
    parse: |value, _| value.mode(),
    text: |bits| Some(mode_text(*bits)),
};
pub(super) const HOST_NAMES: Codec<Vec<String>> = Codec {
    kind: ValueKind::HostNames,
    parse: |value, _| value.host_names(),
    text: |names| Some(names.join(" ")).filter(|names| !names.is_empty()),
};

pub(super) const LOG_FORMAT: Codec<LogFormat> = Codec {
    kind: ValueKind::LogFormat,
    parse: |value, _| value.log_format(),
    text: |format| Some(format.to_string()),
};

pub(super) const CHECK_KIND: Codec<CheckKind> = Codec {
    kind: ValueKind::Check(CheckValue::Kind),
    parse: |value, _| value.check_kind(),
    text: |kind| Some(kind.as_str().to_owned()),
};
pub(super) const CHECK_TIME_SPAN: Codec<Duration> = Codec {
    kind: ValueKind::Check(CheckValue::Time),
    parse: |value, _| value.check_time(),
    text: |time| Some(seconds_text(Some(*time))),
};
pub(super) const OPTIONAL_TIME_SPAN: Codec<Option<Duration>> = Codec {
    kind: ValueKind::Check(CheckValue::OptionalTime),
    parse: |value, _| value.or_empty(Value::check_time),
    text: |time| time.map(|time| seconds_text(Some(time))),
};
pub(super) const IN_A_ROW: Codec<u16> = Codec {
    kind: ValueKind::Check(CheckValue::Count),
    parse: |value, _| value.in_a_row(),
    text: |count| Some(count.to_string()),
};
pub(super) const CHECK_PORT: Codec<Option<u16>> = Codec {
    kind: ValueKind::Check(CheckValue::Port),
    parse: |value, _| value.or_empty(Value::check_port),
    text: |port| port.map(|port| port.to_string()),
};
pub(super) const CHECK_IP: Codec<Option<IpAddr>> = Codec {
    kind: ValueKind::Check(CheckValue::Ip),
    parse: |value, _| value.or_empty(Value::check_ip),
    text: |ip| ip.map(|ip| ip.to_string()),
};
pub(super) const BYTES: Codec<ByteString> = Codec {
    kind: ValueKind::Check(CheckValue::Bytes),
    parse: |value, _| value.byte_string(),
    text: |bytes| Some(bytes.to_string()),
};
pub(super) const URL_PATH: Codec<String> = Codec {
    kind: ValueKind::Check(CheckValue::Path),
    parse: |value, _| value.url_path(),
    text: |path| Some(path.clone()),
};
pub(super) const STATUS: Codec<StatusRanges> = Codec {
    kind: ValueKind::Check(CheckValue::Status),
    parse: |value, _| value.status_ranges(),
    text: |ranges| Some(ranges.to_string()),
};
pub(super) const HOST_HEADER: Codec<String> = Codec {
    kind: ValueKind::Check(CheckValue::HostHeader),
    parse: |value, _| value.host_header(),
    text: |name| Some(name.clone()),
};
