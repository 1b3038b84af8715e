//! What a view is asked for, in its address: how often it refreshes itself, and which hosts it
//! shows in which order.
//!
//! The refresh interval is that of the file, or `?refresh=SECONDS`. Links and forms keep what
//! was asked for. Without a script, a refresh reloads the page. A view that refreshes itself
//! then has links to `?change`, which does not, in place of forms that are filled in.

use std::fmt::Write;
use std::time::Duration;

use crate::config::Web;

/// Query parameters of a view.
const REFRESH: &str = "refresh";
const CHANGE: &str = "change";
pub(super) const FILTER: &str = "q";
pub(super) const PROBLEMS: &str = "problems";
pub(super) const SORT: &str = "sort";
const PART: &str = "part";

/// The interval of the switch where the file has none, in seconds.
const START: u64 = Web::REFRESH.as_secs();

/// The longest interval, in seconds: a day.
const LONGEST: u64 = 86_400;

/// The longest filter, in characters: a service, a group and a host.
pub(super) const LONGEST_FILTER: usize = 800;

/// What a view is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::admin) struct Query {
    /// The file's interval, in seconds; `None` is never.
    configured: Option<u64>,
    /// The query's, in seconds; 0 is never.
    asked: Option<u64>,
    /// Whether the query has `change`: a view for forms, without refresh if no script runs.
    change: bool,
    /// Only hosts with all these words.
    pub(super) filter: String,
    /// Only hosts that have a problem.
    pub(super) problems: bool,
    /// The order of a group's hosts.
    pub(super) sort: Sort,
    /// The part of the hosts that is shown, from 0, where they are too many for one.
    pub(super) part: usize,
}

/// The order of a group's hosts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Sort {
    /// Those with a problem first, then as in the file.
    #[default]
    State,
    Name,
    /// The others have the highest first.
    Open,
    Rate,
    Total,
    Failures,
    Connect,
}

impl Sort {
    const ALL: [(Sort, &str); 7] = [
        (Sort::State, "state"),
        (Sort::Name, "name"),
        (Sort::Open, "open"),
        (Sort::Rate, "rate"),
        (Sort::Total, "total"),
        (Sort::Failures, "failed"),
        (Sort::Connect, "connect"),
    ];

    fn named(name: &str) -> Option<Sort> {
        let mut all = Sort::ALL.iter();
        all.find(|(_, own)| *own == name).map(|(sort, _)| *sort)
    }

    /// Its name in the query.
    pub(super) fn name(self) -> &'static str {
        let mut all = Sort::ALL.iter();
        all.find(|(sort, _)| *sort == self)
            .map_or("", |(_, name)| name)
    }
}

impl Query {
    /// From the configured interval and the fields of the query.
    pub(in crate::admin) fn new(
        configured: Option<Duration>,
        fields: &[(String, String)],
    ) -> Query {
        let field = |wanted: &str| {
            let mut named = fields.iter().filter(|(name, _)| name == wanted);
            named.next().map(|(_, value)| value.as_str())
        };
        let filter = field(FILTER).unwrap_or_default().trim();
        Query {
            configured: configured.map(|it| whole_seconds(it.as_secs_f64())),
            asked: field(REFRESH).and_then(seconds),
            change: field(CHANGE).is_some(),
            filter: filter.chars().take(LONGEST_FILTER).collect(),
            problems: field(PROBLEMS).is_some(),
            sort: field(SORT).and_then(Sort::named).unwrap_or_default(),
            part: field(PART).and_then(|it| it.parse().ok()).unwrap_or(0),
        }
    }

    /// The interval with a script, in seconds; `None` is never.
    pub(super) fn seconds(&self) -> Option<u64> {
        match self.asked {
            Some(0) => None,
            asked => asked.or(self.configured),
        }
    }

    /// The interval without a script, in seconds.
    pub(super) fn without_script(&self) -> Option<u64> {
        self.seconds().filter(|_| !self.change)
    }

    /// The interval once the switch is on, in seconds.
    pub(super) fn interval_when_on(&self) -> u64 {
        self.seconds().or(self.configured).unwrap_or(START)
    }

    /// Whether only some hosts are shown.
    pub(super) fn is_narrowed(&self) -> bool {
        self.problems || !self.filter.is_empty()
    }

    /// The same with this interval, in seconds; 0 is never.
    pub(super) fn refreshed_every(&self, seconds: u64) -> Query {
        Query {
            asked: Some(seconds),
            ..self.clone()
        }
    }

    /// The same from the first host, with this filter.
    pub(super) fn filtered_by(&self, filter: &str) -> Query {
        Query {
            filter: filter.to_owned(),
            problems: false,
            part: 0,
            ..self.clone()
        }
    }

    /// The same in this order.
    pub(super) fn sorted_by(&self, sort: Sort) -> Query {
        Query {
            sort,
            ..self.clone()
        }
    }

    /// Another part of the same.
    pub(super) fn at_part(&self, part: usize) -> Query {
        Query {
            part,
            ..self.clone()
        }
    }

    /// The interval as a field of a form, if it is asked for.
    pub(super) fn refresh_field(&self) -> Option<(&'static str, String)> {
        self.asked.map(|it| (REFRESH, it.to_string()))
    }

    /// The query that keeps this in the next view.
    pub(in crate::admin) fn text(&self) -> String {
        let mut text = String::new();
        let mut add = |name: &str, value: &str| {
            text.push(if text.is_empty() { '?' } else { '&' });
            let _ = write!(text, "{name}={}", encode(value));
        };
        if let Some((name, value)) = self.refresh_field() {
            add(name, &value);
        }
        if !self.filter.is_empty() {
            add(FILTER, &self.filter);
        }
        if self.problems {
            add(PROBLEMS, "1");
        }
        if self.sort != Sort::default() {
            add(SORT, self.sort.name());
        }
        if self.part > 0 {
            add(PART, &self.part.to_string());
        }
        text
    }

    /// A link to this view, without its flash message.
    pub(super) fn link(&self) -> String {
        format!("./{}", self.text())
    }

    /// A link to the view for forms, at the element `id`.
    pub(super) fn change_link(&self, id: &str) -> String {
        let query = self.text();
        let mark = if query.is_empty() { '?' } else { '&' };
        format!("./{query}{mark}{CHANGE}#{id}")
    }
}

/// A value as a form sends it.
pub(super) fn encode(value: &str) -> String {
    let mut out = String::new();
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// Parses an interval, and ignores what is not a number.
fn seconds(text: &str) -> Option<u64> {
    // Rust parses `inf` and `nan` as numbers.
    text.starts_with(|first: char| first.is_ascii_digit())
        .then(|| text.parse().ok())?
        .map(|seconds: f64| {
            if seconds > 0.0 {
                whole_seconds(seconds)
            } else {
                0
            }
        })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number from 1 to 86,400 without a fraction"
)]
fn whole_seconds(seconds: f64) -> u64 {
    seconds.ceil().clamp(1.0, LONGEST as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::http::request::fields;

    fn of(configured: Option<f64>, query: &str) -> Query {
        let fields = fields(query.as_bytes()).unwrap();
        Query::new(configured.map(Duration::from_secs_f64), &fields)
    }

    #[test]
    fn what_a_view_is_asked_for_with_is_what_it_does() {
        let seconds = |query| of(Some(10.0), query).seconds();
        for (query, expected) in [
            ("", Some(10)),
            ("refresh=5", Some(5)),
            ("notice=7&refresh=5&refresh=6", Some(5)),
            ("refresh=0", None),
            ("refresh=0.0", None),
            ("refresh=0.2", Some(1)),
            ("refresh=2.5", Some(3)),
            ("refresh=86400", Some(86_400)),
            ("refresh=99999999999999999999999", Some(86_400)),
            ("refresh=", Some(10)),
            ("refresh", Some(10)),
            ("refresh=never", Some(10)),
            ("refresh=-1", Some(10)),
            ("refresh=inf", Some(10)),
            ("refresh=nan", Some(10)),
            ("refresh=5s", Some(10)),
            ("Query=5", Some(10)),
        ] {
            assert_eq!(seconds(query), expected, "{query}");
        }
        assert_eq!(of(None, "").seconds(), None);
        assert_eq!(of(None, "refresh=5").seconds(), Some(5));
        assert_eq!(of(Some(0.2), "").seconds(), Some(1));
        assert_eq!(of(Some(1e9), "").seconds(), Some(86_400));
    }

    #[test]
    fn it_can_be_switched_on_whatever_the_file_says() {
        assert_eq!(of(None, "").interval_when_on(), 30);
        assert_eq!(of(None, "refresh=0").interval_when_on(), 30);
        assert_eq!(of(Some(10.0), "refresh=0").interval_when_on(), 10);
        assert_eq!(of(Some(10.0), "refresh=5").interval_when_on(), 5);
    }

    #[test]
    fn links_keep_what_was_asked_for_and_nothing_else() {
        let links = |query| {
            let query = of(Some(10.0), query);
            (query.link(), query.change_link("h"))
        };
        let pair = |link: &str, change: &str| (link.to_owned(), change.to_owned());
        assert_eq!(links("notice=7"), pair("./", "./?change#h"));
        assert_eq!(
            links("notice=7&refresh=5&change"),
            pair("./?refresh=5", "./?refresh=5&change#h")
        );
        assert_eq!(of(None, "refresh=5&change").without_script(), None);
        assert_eq!(of(None, "refresh=5").without_script(), Some(5));
    }

    #[test]
    fn what_is_shown_is_in_links_too() {
        let asked = "problems=1&sort=open&q=web%3Amain%2F+ok%26&part=2&x=y&refresh=5";
        let query = of(None, asked);
        assert_eq!(
            (
                query.filter.as_str(),
                query.problems,
                query.sort,
                query.part
            ),
            ("web:main/ ok&", true, Sort::Open, 2)
        );
        let text = "?refresh=5&q=web%3Amain%2F+ok%26&problems=1&sort=open&part=2";
        assert_eq!(query.text(), text);
        assert_eq!(of(None, &text[1..]).text(), text);
        assert_eq!(
            query.filtered_by("ä").text(),
            "?refresh=5&q=%C3%A4&sort=open"
        );
        assert_eq!(of(None, "sort=x&part=-1&q=+").text(), "");
        let long = "%C3%A4".repeat(LONGEST_FILTER);
        let kept = of(None, &format!("q={long}x")).filter;
        assert_eq!(kept.chars().count(), LONGEST_FILTER);
    }

    #[test]
    fn every_order_has_a_name_of_its_own() {
        for (sort, name) in Sort::ALL {
            assert_eq!((Sort::named(name), sort.name()), (Some(sort), name));
        }
    }
}
