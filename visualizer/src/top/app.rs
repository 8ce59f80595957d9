//! What is known of running NICs, and how it looks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ferroce_net::{Control, FaultRates, Look as NicLook, NetError, QpLook};
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;

use crate::tui::Look;
use crate::tui::screen::{heading, line};

/// Share of its packets that a NIC loses while faults are on.
const LOSS: f64 = 0.01;
/// Cells of a queue's bar.
const BAR: u32 = 10;

/// Columns from which on the queues and PSNs of a queue pair stand in one line.
const WIDE: u16 = 76;

/// A NIC in the list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// What was seen last.
    pub look: NicLook,
    /// Counts per second since the look before, by name.
    pub rates: BTreeMap<String, u64>,
}

impl Row {
    /// A new look at a NIC of which there may be an older one.
    pub fn new(look: NicLook, before: Option<&Row>) -> Row {
        let mut rates = BTreeMap::new();
        if let Some(before) = before
            && let nanos @ 1.. = look.now.saturating_sub(before.look.now)
        {
            for (name, count) in &look.counters {
                let more = count.saturating_sub(before.look.counters.get(name).copied().unwrap_or(0));
                let rate = u128::from(more) * 1_000_000_000 / u128::from(nanos);
                rates.insert(name.clone(), u64::try_from(rate).unwrap_or(u64::MAX));
            }
        }
        Row { look, rates }
    }

    /// Whether a layer of its link is at work.
    fn has(&self, layer: &str) -> bool {
        self.look.link.split(' ').any(|name| name == layer)
    }

    fn rate(&self, name: &str) -> u64 {
        self.rates.get(name).copied().unwrap_or(0)
    }

    fn count(&self, name: &str) -> u64 {
        self.look.counters.get(name).copied().unwrap_or(0)
    }

    /// The line in the list.
    pub fn line(&self) -> String {
        let address = self.look.addresses.first().map_or(String::new(), ToString::to_string);
        format!(
            "{:<10.10} {:>7} {address:<15.15} {:>6} {:>7} {:>6} {:>6} {:>6} {:>4}",
            self.look.name,
            self.look.pid,
            short(self.rate("sent_pkts")),
            short(self.rate("sent_bytes")),
            short(self.rate("rcvd_pkts")),
            short(self.rate("rcvd_bytes")),
            short(self.count("retransmitted_pkts")),
            self.look.qp_count,
        )
    }

    /// What stands over the list.
    pub fn head() -> String {
        format!(
            "{:<10} {:>7} {:<15} {:>6} {:>7} {:>6} {:>6} {:>6} {:>4}",
            "NIC", "process", "address", "out/s", "B out/s", "in/s", "B in/s", "resent", "QPs"
        )
    }
}

/// All NICs, and the one that is picked.
#[derive(Clone, Debug, Default)]
pub struct Top {
    /// By their sockets.
    pub rows: BTreeMap<PathBuf, Row>,
    /// Which of them is picked.
    pub picked: usize,
    /// What came of the last request.
    pub message: String,
}

impl Top {
    /// Looks at all NICs that there are.
    ///
    /// # Errors
    /// When the user's directory cannot be used.
    pub fn refresh(&mut self) -> Result<(), NetError> {
        let mut rows = BTreeMap::new();
        for socket in NicLook::all()? {
            // One that does not answer is gone, or hangs; neither is worth a line.
            if let Ok(look) = NicLook::at(&socket) {
                let row = Row::new(look, self.rows.get(&socket));
                rows.insert(socket, row);
            }
        }
        self.rows = rows;
        self.pick(0);
        Ok(())
    }

    /// Has the picked NIC lose packets by chance, or stops that.
    pub fn toggle_faults(&mut self) {
        let Some((_, row)) = self.picked() else { return };
        let rates =
            if row.has("faults") { FaultRates::NONE } else { FaultRates { drop: LOSS, ..FaultRates::NONE } };
        let done = match rates.drop {
            0.0 => "It loses packets no longer.".to_owned(),
            loss => format!("It loses {} % of the packets that it sends; f stops that.", loss * 100.0),
        };
        self.ask(&Control::Faults(rates), &done);
    }

    /// Has the picked NIC record what it sends and receives into a new file in `folder`, or stops that.
    pub fn toggle_recording(&mut self, folder: &Path) {
        let Some((_, row)) = self.picked() else { return };
        if row.has("record") {
            return self.ask(&Control::StopRecording, "It records no longer.");
        }
        let name =
            |number: u32| format!("{}-{}-{number}.frec", row.look.name.replace('/', "_"), row.look.pid);
        let free = (1..).map(|number| folder.join(name(number))).find(|file| !file.exists());
        let Some(file) = free else { return };
        let done = format!("It records into {}; r stops that. 'ferroce replay' shows it.", file.display());
        self.ask(&Control::Record(file), &done);
    }

    fn picked(&self) -> Option<(&PathBuf, &Row)> {
        self.rows.iter().nth(self.picked)
    }

    fn ask(&mut self, control: &Control, done: &str) {
        let Some((socket, _)) = self.picked() else { return };
        self.message = match NicLook::control(socket, control).map(|look| look.answer) {
            Ok(Some(Ok(()))) => done.to_owned(),
            Ok(Some(Err(why))) => format!("Refused: {why}."),
            Ok(None) => "It is of an older Ferroce, which cannot be asked.".to_owned(),
            Err(error) => format!("It does not answer: {error}."),
        };
    }

    /// Picks one so many lines further down.
    pub fn pick(&mut self, by: isize) {
        self.picked = self.picked.saturating_add_signed(by).min(self.rows.len().saturating_sub(1));
    }
}

/// Draws the list, and the queue pairs and counters of the NIC that is picked.
pub fn render(area: Rect, buf: &mut Buffer, look: &Look, top: &Top) {
    let list = Constraint::Length((top.rows.len() as u16 + 2).min(area.height / 2).max(3));
    let [above, below, keys] =
        Layout::vertical([list, Constraint::Min(0), Constraint::Length(1)]).areas(area);
    let inside = heading(above, buf, look, "Running NICs of this user");
    line(inside, 0, buf, &[(&format!("  {}", Row::head()), look.faint())]);
    if top.rows.is_empty() {
        line(inside, 1, buf, &[("  None. 'ferroce demo --plain --seconds 60' runs two.", Style::new())]);
    }
    let shown = usize::from(inside.height.saturating_sub(1)).max(1);
    let skipped = (top.picked + 1).saturating_sub(shown);
    for (at, row) in top.rows.values().enumerate().skip(skipped).take(shown) {
        let (mark, style) = if at == top.picked { ("> ", look.bar()) } else { ("  ", Style::new()) };
        line(inside, (at - skipped) as u16 + 1, buf, &[(mark, style), (&row.line(), style)]);
    }
    if let Some(row) = top.rows.values().nth(top.picked) {
        let [left, right] =
            Layout::horizontal([Constraint::Min(0), Constraint::Length(36)]).spacing(1).areas(below);
        let title = format!("{}: {}", row.look.name, row.look.link);
        queue_pairs(heading(left, buf, look, &title), buf, look, &row.look);
        counters(heading(right, buf, look, "Counters, and per second"), buf, row);
    }
    buf.set_style(keys, look.bar());
    let text = if top.message.is_empty() {
        " q quit  j k pick  f lose 1 % of its packets  r record  (looks twice a second)"
    } else {
        &format!(" {}", top.message)
    };
    line(keys, 0, buf, &[(text, look.bar())]);
}

fn queue_pairs(area: Rect, buf: &mut Buffer, look: &Look, nic: &NicLook) {
    if nic.qps.is_empty() {
        line(area, 0, buf, &[(" It has no queue pairs.", look.faint())]);
    }
    // Queues and PSNs share a line where there is room for both.
    let lines: u16 = if area.width >= WIDE { 2 } else { 3 };
    for (at, qp) in nic.qps.iter().take(usize::from(area.height / lines)).enumerate() {
        let QpLook { qpn, state, peer, sends, receives, psns: [unacked, next, expected] } = qp;
        let top = at as u16 * lines;
        let head = format!(" {qpn:#08x} {state:<5} to {peer:#08x}");
        let style = if state == "ERR" { look.bad() } else { look.strong() };
        line(area, top, buf, &[(&head, style)]);
        let queues = format!("   SQ {} RQ {}", bar(look, *sends), bar(look, *receives));
        let psns = format!("   una {unacked:x} next {next:x} wants {expected:x}");
        let rest: &[(&str, Style)] = &[(&queues, Style::new()), (&psns, Style::new())];
        if lines == 2 {
            line(area, top + 1, buf, rest);
        } else {
            line(area, top + 1, buf, &rest[..1]);
            line(area, top + 2, buf, &rest[1..]);
        }
    }
}

fn counters(area: Rect, buf: &mut Buffer, row: &Row) {
    let counted = row.look.counters.iter().filter(|(_, count)| **count > 0);
    for (at, (name, count)) in counted.take(usize::from(area.height)).enumerate() {
        let text = format!(" {name:<22.22} {:>6} {:>5}", short(*count), short(row.rate(name)));
        line(area, at as u16, buf, &[(&text, Style::new())]);
    }
}

/// A queue as a bar: how full it is.
fn bar(look: &Look, (used, room): (u32, u32)) -> String {
    let full = (u64::from(used) * u64::from(BAR)).div_ceil(u64::from(room.max(1))) as u32;
    let cells = (0..BAR).map(|cell| if cell < full { look.glyphs.in_flight } else { look.glyphs.free });
    format!("{}{used}/{room}", cells.collect::<String>())
}

/// A number in at most five characters.
fn short(number: u64) -> String {
    const UNITS: [&str; 6] = ["", "k", "M", "G", "T", "P"];
    let (mut value, mut unit) = (number as f64, 0);
    while value >= 9_999.5 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1_000.0, unit + 1);
    }
    format!("{value:.0}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_short() {
        let shown = [0, 9_999, 10_000, 12_345_678, u64::MAX].map(short);
        assert_eq!(shown, ["0", "9999", "10k", "12M", "18447P"]);
    }
}
