//! Questions about numbers on a circle.

use ferroce_engine::Psn;

use super::rules::{HALF_CIRCLE, WRAPS};
use crate::course::Question;
use crate::dice::Dice;
use crate::failure::{Row, Rule, Wrong};
use crate::talk::{Players, Stop};

/// `add(psn, count)`.
pub(super) struct Sum {
    psn: Psn,
    count: u32,
}

impl Sum {
    pub(super) fn draw(number: usize, dice: &mut Dice) -> Sum {
        let psn =
            if number.is_multiple_of(2) { dice.number(23) } else { 0x0100_0000 - 1 - dice.number(4) } as u32;
        let count = dice.number(if number.is_multiple_of(2) { 10 } else { 24 }) as u32;
        Sum { psn: Psn::new(psn), count }
    }
}

impl Question for Sum {
    fn describe(&self) -> String {
        format!("add({}, {:#x})", self.psn, self.count)
    }

    fn ask(&self, players: &mut Players<'_>) -> Result<(), Stop> {
        let seen = players.ask(&format!("add {} {}", self.psn.value(), self.count))?;
        let wanted = (self.psn + self.count).value();
        compare(&WRAPS, &seen, &wanted.to_string(), || hex(seen.parse().unwrap_or_default()), || hex(wanted))
    }
}

/// `distance(from, to)`.
pub(super) struct Distance {
    from: Psn,
    to: Psn,
}

impl Distance {
    pub(super) fn draw(number: usize, dice: &mut Dice) -> Distance {
        let from = Psn::new(dice.number(24) as u32);
        let away = match number {
            0 => 1,
            1 => 0x00ff_ffff,
            2 => 0x007f_ffff,
            3 => 0x0080_0000,
            _ if number.is_multiple_of(2) => dice.number(24) as u32,
            _ => (0x0100_0000 - dice.number(8)) as u32 & 0x00ff_ffff,
        };
        Distance { from, to: from + away }
    }
}

impl Question for Distance {
    fn describe(&self) -> String {
        format!("distance({}, {})", self.from, self.to)
    }

    fn ask(&self, players: &mut Players<'_>) -> Result<(), Stop> {
        let seen = players.ask(&format!("distance {} {}", self.from.value(), self.to.value()))?;
        let wanted = self.to.distance(self.from).to_string();
        compare(&HALF_CIRCLE, &seen, &wanted, || seen.clone(), || wanted.clone())
    }
}

fn hex(number: u32) -> String {
    format!("{number:#08x}")
}

fn compare(
    rule: &'static Rule,
    seen: &str,
    wanted: &str,
    show_seen: impl Fn() -> String,
    show_wanted: impl Fn() -> String,
) -> Result<(), Stop> {
    if seen == wanted {
        return Ok(());
    }
    let lines = [format!("expected  {}", show_wanted()), format!("seen      {}", show_seen())];
    Err(Wrong::new(rule, vec![Row::exact("First", lines)]).into())
}
