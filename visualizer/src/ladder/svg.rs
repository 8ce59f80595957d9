//! A ladder as SVG.

use super::Ladder;
use crate::drawing::{Anchor, Drawing, Line};

const LEFT: u32 = 250;
const RIGHT: u32 = 520;
const WIDTH: u32 = 800;
const TOP: u32 = 46;
const ROW: u32 = 20;
/// How much lower a packet arrives than it leaves: time passes.
const FALL: u32 = 12;

/// The ladder as an SVG file of its own. The words say what the arrows show.
pub fn svg(ladder: &Ladder, title: &str) -> String {
    let mut drawing = Drawing::new(WIDTH);
    let row = |at: usize| TOP + ROW + at as u32 * ROW;
    let bottom = row(ladder.rungs.len());
    for (x, name) in [LEFT, RIGHT].into_iter().zip(&ladder.ends) {
        drawing.strong((x, TOP - 14), Anchor::Middle, name);
        drawing.line((x, TOP), (x, bottom), Line::Faint);
    }
    for (at, rung) in ladder.rungs.iter().enumerate() {
        let y = row(at);
        let [mine, other] = if rung.from == 0 { [LEFT, RIGHT] } else { [RIGHT, LEFT] };
        let outside = |x: u32| if x == LEFT { (x - 10, Anchor::End) } else { (x + 10, Anchor::Start) };
        let number = rung.number.map_or(String::new(), |number| format!("{number}: "));
        let again = if rung.again { "again " } else { "" };
        let (x, anchor) = outside(mine);
        drawing.text((x, y + 4), anchor, &format!("{number}{again}{}", rung.label));
        if rung.lost {
            let end = ((mine * 2 + other * 3) / 5, y + FALL * 3 / 5);
            drawing.line((mine, y), end, Line::Plain);
            drawing.cross(end);
        } else {
            drawing.line((mine, y), (other, y + FALL), Line::Arrow);
        }
        let (x, anchor) = outside(other);
        drawing.text((x, y + FALL + 2), anchor, &rung.note);
    }
    let mut bottom = bottom + 12;
    if ladder.left_out > 0 {
        let more = format!("... and {} packets more", ladder.left_out);
        drawing.text(((LEFT + RIGHT) / 2, bottom + 12), Anchor::Middle, &more);
        bottom += ROW;
    }
    drawing.finish_alone(bottom + 12, title, &described(ladder))
}

fn described(ladder: &Ladder) -> String {
    let told = ladder.rungs.iter().map(|rung| {
        let (who, lost) = (&ladder.ends[rung.from], if rung.lost { ", lost" } else { "" });
        let note = if rung.note.is_empty() { String::new() } else { format!(" ({})", rung.note) };
        format!("{who}: {}{lost}{note}", rung.label)
    });
    told.collect::<Vec<_>>().join("; ")
}
