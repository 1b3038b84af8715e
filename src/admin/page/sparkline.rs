//! Sessions of the last hour as a line: an SVG path, and words.

use std::fmt::Write;

use super::html::{Element, el};

/// Height of the sparkline, and width of a minute, in pixels.
const HEIGHT: u64 = 16;
const STEP: u32 = 2;

/// The most sessions of a minute.
pub(super) fn peak(minutes: &[u32]) -> u32 {
    complete_minutes(minutes).iter().max().copied().unwrap_or(0)
}

/// Sessions of the last hour as a line, with peak and last minute in words. `scale` is
/// the number that reaches the top. Without sessions there is no line.
pub(super) fn sparkline(minutes: &[u32], scale: u32) -> Element {
    let peak = peak(minutes);
    if peak == 0 {
        return el("td").text("none");
    }
    let minutes = complete_minutes(minutes);
    let last = minutes.last().copied().unwrap_or(0);
    let path = el("path")
        .attr("d", &path(minutes, scale.max(peak)))
        .attr("fill", "none")
        .attr("stroke", "currentColor");
    let line = el("svg")
        .attr("viewBox", "0 -1 118 18")
        .attr("aria-hidden", "true")
        .with(path);
    let words = format!("peak {peak} a minute, now {last}");
    el("td").with(line).with(el("small").text(&words))
}

/// Leaves out the current minute while it has fewer sessions than the one before: since
/// it is not over, the line would always end in a drop.
// Test: the_minute_under_way_counts_once_it_is_no_less_than_the_one_before.
fn complete_minutes(minutes: &[u32]) -> &[u32] {
    match minutes {
        [earlier @ .., now] if earlier.last().is_some_and(|before| now < before) => earlier,
        _ => minutes,
    }
}

/// The SVG path, one relative step a minute. Level stretches are one step: most hosts
/// have long ones.
fn path(minutes: &[u32], scale: u32) -> String {
    let top = u64::from(scale.max(1));
    let height = |sessions: &u32| {
        let height = (u64::from(*sessions) * HEIGHT).div_ceil(top);
        i64::try_from(HEIGHT - height.min(HEIGHT)).unwrap_or(0)
    };
    let mut at = minutes.first().map_or(0, height);
    let mut path = format!("M0 {at}");
    let mut level = 0;
    for next in minutes.iter().skip(1).map(height) {
        if next == at {
            level += 1;
            continue;
        }
        push_level(&mut path, level);
        let _ = write!(path, "l{STEP} {}", next - at);
        (at, level) = (next, 0);
    }
    push_level(&mut path, level);
    path
}

fn push_level(path: &mut String, minutes: u32) {
    if minutes > 0 {
        let _ = write!(path, "h{}", minutes * STEP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn level_stretches_are_one_step_each() {
        assert_eq!(path(&[0, 0, 0, 4, 4, 2], 4), "M0 16h4l2 -16h2l2 8");
        assert_eq!(path(&[1], 1000), "M0 15");
        assert_eq!(path(&[u32::MAX, 0], u32::MAX), "M0 0l2 16");
        assert_eq!(path(&[], 0), "M0 0");
    }

    #[test]
    fn the_minute_under_way_counts_once_it_is_no_less_than_the_one_before() {
        assert_eq!(complete_minutes(&[5, 7, 3]), [5, 7]);
        assert_eq!(complete_minutes(&[5, 7, 7]), [5, 7, 7]);
        assert_eq!(complete_minutes(&[5]), [5]);
        assert_eq!(complete_minutes(&[]), [0; 0]);
    }

    #[test]
    fn the_line_is_there_in_words_too() {
        let text = sparkline(&[120, 80, 1], 500).into_text();
        assert!(text.ends_with("</svg><small>peak 120 a minute, now 80</small></td>"));
        assert_eq!(sparkline(&[0, 0], 500).into_text(), "<td>none</td>");
    }
}
