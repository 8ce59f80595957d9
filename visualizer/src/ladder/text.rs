//! A ladder as text.

use super::{Ladder, Rung};

/// What arrows are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strokes {
    /// Line of a request.
    pub request: char,
    /// Line of an answer.
    pub answer: char,
    /// Heads, to the right and to the left.
    pub heads: [char; 2],
    /// Where a packet ends that does not arrive.
    pub end: char,
    /// An end of the connection.
    pub post: char,
}

impl Strokes {
    /// For terminals that can show them.
    pub const UNICODE: Strokes =
        Strokes { request: '─', answer: '╌', heads: ['▶', '◀'], end: '✗', post: '│' };
    /// For all others, and for files.
    pub const ASCII: Strokes = Strokes { request: '-', answer: '.', heads: ['>', '<'], end: 'x', post: '|' };
}

/// Columns of packet number and time.
const LEFT: usize = 18;
/// Columns for what is to say about a packet.
const NOTE: usize = 21;
/// Narrowest ladder that can be read.
const NARROWEST: usize = 60;

/// The lines of a ladder, at most `width` columns each (60 at least), without spaces at their ends.
pub fn lines(ladder: &Ladder, width: usize, strokes: &Strokes) -> Vec<String> {
    let field = width.max(NARROWEST) - LEFT - NOTE - 2;
    let [left, right] = &ladder.ends;
    let room = field.saturating_sub(left.chars().count());
    let mut lines = vec![format!("{:>6} {:>10} {left} {right:>room$}", "packet", "ms")];
    for rung in &ladder.rungs {
        let number = rung.number.map_or(String::new(), |number| number.to_string());
        let time = format!("{}.{:03}", rung.at / 1_000_000, rung.at / 1_000 % 1_000);
        let post = strokes.post;
        let arrow: String = arrow(rung, field, strokes).into_iter().collect();
        let note: String = rung.note.chars().take(NOTE).collect();
        lines.push(format!("{number:>6} {time:>10} {post}{arrow}{post} {note}").trim_end().to_owned());
    }
    if ladder.left_out > 0 {
        lines.push(format!("... and {} packets more", ladder.left_out));
    }
    lines
}

/// The cells between the two ends.
fn arrow(rung: &Rung, width: usize, strokes: &Strokes) -> Vec<char> {
    let stroke = if rung.answer { strokes.answer } else { strokes.request };
    let again = if rung.again { "again " } else { "" };
    let label: Vec<char> = format!("{again}{}", rung.label).chars().take(width.saturating_sub(4)).collect();
    let mut cells = vec![stroke];
    cells.extend(&label);
    let way = width.saturating_sub(cells.len() + 1);
    cells.extend(std::iter::repeat_n(stroke, if rung.lost { way / 2 } else { way }));
    cells.push(if rung.lost { strokes.end } else { strokes.heads[rung.from] });
    cells.resize(width, ' ');
    if rung.from == 1 {
        cells.reverse();
        let end = width - 1;
        cells[end - label.len()..end].reverse();
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rung(from: usize, lost: bool) -> Rung {
        let (label, note) = ("SEND 0x000001".to_owned(), "note".to_owned());
        Rung { number: Some(1), at: 1_500_000, from, label, answer: from == 1, again: false, lost, note }
    }

    #[test]
    fn arrows_go_both_ways_and_end_where_packets_are_lost() {
        let ends = ["one".to_owned(), "other".to_owned()];
        let ladder = Ladder { ends, rungs: vec![rung(0, false), rung(0, true), rung(1, false)], left_out: 2 };
        let expected = [
            "packet         ms one            other",
            "     1      1.500 |-SEND 0x000001---->| note",
            "     1      1.500 |-SEND 0x000001--x  | note",
            "     1      1.500 |<....SEND 0x000001.| note",
            "... and 2 packets more",
        ];
        assert_eq!(lines(&ladder, 0, &Strokes::ASCII), expected);
    }
}
