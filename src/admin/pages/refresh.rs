//! How often a view of the page refreshes itself: what the file says, unless the view
//! was asked for with `?refresh=SECONDS`. Links and forms of such a view keep that.
//!
//! Without a script the browser loads the whole page anew, and what somebody has typed
//! or unfolded would be lost. So such a view has links in place of what takes more than
//! one press. They lead to the same view with `?change`, which does not refresh itself.

use std::time::Duration;

use crate::config::Web;

/// What a view is asked for with.
const REFRESH: &str = "refresh";
const CHANGE: &str = "change";

/// What the switch starts where the file says never, in seconds.
const START: u64 = Web::REFRESH.as_secs();

/// No longer than a day, in seconds.
const LONGEST: u64 = 86_400;

/// How often a view refreshes itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::admin) struct Refresh {
    /// As the file has it, in seconds; `None` is never.
    configured: Option<u64>,
    /// As the view was asked for, in seconds; 0 is never.
    asked: Option<u64>,
    /// Whether the view is for preparing a press.
    change: bool,
}

impl Refresh {
    /// As configured, and as the fields behind the question mark say.
    pub(in crate::admin) fn new(
        configured: Option<Duration>,
        fields: &[(String, String)],
    ) -> Refresh {
        let mut asked = fields.iter().filter(|(name, _)| name == REFRESH);
        Refresh {
            configured: configured.map(|it| whole(it.as_secs_f64())),
            asked: asked.next().and_then(|(_, value)| seconds(value)),
            change: fields.iter().any(|(name, _)| name == CHANGE),
        }
    }

    /// With a script, every so many seconds; `None` is never.
    pub(super) fn seconds(self) -> Option<u64> {
        match self.asked {
            Some(0) => None,
            asked => asked.or(self.configured),
        }
    }

    /// The same without a script.
    pub(super) fn without_script(self) -> Option<u64> {
        self.seconds().filter(|_| !self.change)
    }

    /// Every so many seconds once it is switched on.
    pub(super) fn when_on(self) -> u64 {
        self.seconds().or(self.configured).unwrap_or(START)
    }

    /// What is behind a path so that the next view is refreshed like this one.
    pub(in crate::admin) fn query(self) -> String {
        self.asked.map_or(String::new(), query_of)
    }

    /// A link to the page as it is shown now, without what came of the last press.
    pub(super) fn link(self) -> String {
        format!("./{}", self.query())
    }

    /// A link to the view in which a press is prepared, at the element of that id.
    pub(super) fn change_link(self, id: &str) -> String {
        let query = self.query();
        let mark = if query.is_empty() { '?' } else { '&' };
        format!("./{query}{mark}{CHANGE}#{id}")
    }
}

/// What is behind a path for a view that refreshes itself so often.
pub(super) fn query_of(seconds: u64) -> String {
    format!("?{REFRESH}={seconds}")
}

/// What is no number is ignored.
fn seconds(text: &str) -> Option<u64> {
    // There are numbers that begin with a letter: `inf`, `nan`.
    text.starts_with(|first: char| first.is_ascii_digit())
        .then(|| text.parse().ok())?
        .map(|seconds: f64| if seconds > 0.0 { whole(seconds) } else { 0 })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number from 1 to 86,400 without a fraction"
)]
fn whole(seconds: f64) -> u64 {
    seconds.ceil().clamp(1.0, LONGEST as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::http::fields;

    fn of(configured: Option<f64>, query: &str) -> Refresh {
        let fields = fields(query.as_bytes()).unwrap();
        Refresh::new(configured.map(Duration::from_secs_f64), &fields)
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
            ("Refresh=5", Some(10)),
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
        assert_eq!(of(None, "").when_on(), 30);
        assert_eq!(of(None, "refresh=0").when_on(), 30);
        assert_eq!(of(Some(10.0), "refresh=0").when_on(), 10);
        assert_eq!(of(Some(10.0), "refresh=5").when_on(), 5);
    }

    #[test]
    fn links_keep_what_was_asked_for_and_nothing_else() {
        let links = |query| {
            let refresh = of(Some(10.0), query);
            (refresh.link(), refresh.change_link("h"))
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
}
