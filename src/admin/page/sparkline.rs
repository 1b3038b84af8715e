//! Sessions of the last hour as a line: an SVG path, and words.

use std::fmt::Write;

use super::html::{Element, el};

/// Height of the sparkline, and width of a point, in pixels.
const HEIGHT: u64 = 16;
const STEP: usize = 4;

/// Minutes of a point: it shows the one with the most sessions.
const MINUTES: usize = 2;

/// The most sessions of a minute.
pub(super) fn peak(minutes: &[u32]) -> u32 {
    complete_minutes(minutes).iter().max().copied().unwrap_or(0)
}

/// Sessions of the last hour as a line, with peak and last minute in words for screen readers. `known` of the minutes, the last ones, were since the host is there: the line begins
/// with them. `scale` is the number that reaches the top, or the peak where that is more. Without
/// sessions there is no line.
pub(super) fn sparkline(minutes: &[u32], known: usize, scale: u32) -> Element {
    let peak = peak(minutes);
    let cell = el("span").class("line");
    if peak == 0 {
        return cell.with(hidden("none in the last hour"));
    }
    let last = complete_minutes(minutes).last().copied().unwrap_or(0);
    let path = el("path")
        .attr("d", &path(minutes, known, scale.max(peak)))
        .attr("fill", "none")
        .attr("stroke", "currentColor");
    let line = el("svg")
        .attr("viewBox", "0 -1 120 18")
        .attr("preserveAspectRatio", "none")
        .attr("aria-hidden", "true")
        .with(path);
    let words = format!("peak {peak} a minute, now {last}");
    cell.with(line).with(hidden(&words))
}

fn hidden(words: &str) -> Element {
    el("span").class("vh").text(words)
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

/// The SVG path: relative steps. Level stretches are one step, and a letter that is the same as
/// the one before is left out, since there may be hundreds of lines on a page.
fn path(minutes: &[u32], known: usize, scale: u32) -> String {
    let top = u64::from(scale.max(1));
    let height = |sessions: &u32| {
        let height = (u64::from(*sessions) * HEIGHT).div_ceil(top);
        i64::try_from(HEIGHT - height.min(HEIGHT)).unwrap_or(0)
    };
    let unknown = minutes.len().saturating_sub(known.max(1)) / MINUTES;
    let points = complete_minutes(minutes).chunks(MINUTES).skip(unknown);
    let mut points = points.map(|it| it.iter().max().map_or(0, height));
    let mut at = points.next().unwrap_or(0);
    let mut path = format!("M{} {at}", unknown * STEP);
    let (mut level, mut letter) = (0, 'M');
    for next in points {
        if next == at {
            level += 1;
            continue;
        }
        push_level(&mut path, &mut letter, level);
        let step = next - at;
        let gap = match letter {
            'l' => " ",
            _ => "l",
        };
        let blank = if step < 0 { "" } else { " " };
        let _ = write!(path, "{gap}{STEP}{blank}{step}");
        (at, level, letter) = (next, 0, 'l');
    }
    push_level(&mut path, &mut letter, level);
    // A dot, if that is all.
    if letter == 'M' {
        path.push_str("h0");
    }
    path
}

fn push_level(path: &mut String, letter: &mut char, points: usize) {
    if points > 0 {
        let _ = write!(path, "h{}", points * STEP);
        *letter = 'h';
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn level_stretches_are_one_step_each() {
        let minutes = [0, 0, 0, 0, 4, 1, 4, 4, 2, 2, 1, 1];
        assert_eq!(path(&minutes, 12, 4), "M0 16h4l4-16h4l4 8 4 4");
        assert_eq!(path(&[1], 1, 1000), "M0 15h0");
        assert_eq!(path(&[u32::MAX, 0, 0, 0], 4, u32::MAX), "M0 0l4 16");
        assert_eq!(path(&[], 0, 0), "M0 0h0");
    }

    #[test]
    fn before_the_host_was_there_is_no_line() {
        let minutes = [0, 0, 0, 0, 0, 3, 3, 3];
        assert_eq!(path(&minutes, 3, 3), "M8 0h4");
        assert_eq!(path(&minutes, 1, 3), "M12 0h0");
        assert_eq!(path(&minutes, 0, 3), "M12 0h0");
        assert_eq!(path(&minutes, 60, 3), "M0 16h4l4-16h4");
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
        let text = sparkline(&[120, 80, 1], 3, 500).into_text();
        let words = "<span class=\"vh\">peak 120 a minute, now 80</span></span>";
        assert!(text.ends_with(words), "{text}");
        let text = sparkline(&[0, 0], 2, 500).into_text();
        assert!(text.contains("none in the last hour") && !text.contains("svg"));
    }
}
