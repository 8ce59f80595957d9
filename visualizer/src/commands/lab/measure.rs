//! `ferroce lab measure`: what messages cost over TCP, and with verbs.

use std::io::Write;
use std::time::Duration;

use ferroce_labs::{Price, over_tcp, with_verbs};

use crate::commands::Outcome;
use crate::failure::Failure;
use crate::text::{FAINT, STRONG};

/// Columns of the longest bar.
const BAR: f64 = 32.0;

/// What is measured: a name, bytes, messages, whether each is answered.
const KINDS: [(&str, usize, u32, bool); 3] = [
    ("64 bytes, request and answer", 64, 4_000, true),
    ("4 KiB, request and answer", 4096, 2_000, true),
    ("1 MiB, one way", 1 << 20, 64, false),
];

pub(super) fn run() -> Result<Outcome, Failure> {
    let mut out = anstream::stdout().lock();
    writeln!(
        out,
        "What a message costs, both ends together ({FAINT}#{FAINT:#} program, {FAINT}k{FAINT:#} kernel, {FAINT}.{FAINT:#} card)"
    )?;
    for (name, bytes, count, answers) in KINDS {
        let tcp = over_tcp(bytes, count, answers).map_err(|error| {
            Failure::new(format_args!("cannot measure TCP: {error}"), "look whether 127.0.0.1 can be reached")
        })?;
        let verbs = with_verbs(bytes, count, answers);
        let all = |price: &Price| price.program + price.card.unwrap_or_default();
        let longest = all(&tcp).max(all(&verbs));
        writeln!(out, "\n{STRONG}{name}{STRONG:#}")?;
        writeln!(out, "         calls  copies  program us  kernel us  card us")?;
        for (name, price) in [("TCP", &tcp), ("verbs", &verbs)] {
            let card = price.card.map_or("-".to_owned(), |time| format!("{:.2}", micros(time)));
            writeln!(
                out,
                "  {name:<6}{:>6.1}{:>8.0}{:>12.2}{:>11.2}{card:>9}  {}",
                price.system_calls,
                price.copies,
                micros(price.program),
                micros(price.kernel),
                bar(price, longest)
            )?;
        }
    }
    writeln!(out, "\nWith a real card its column costs no processor of yours.")?;
    Ok(Outcome::Done)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The parts of a price as letters.
fn bar(price: &Price, longest: Duration) -> String {
    let columns = |time: Duration| (time.as_secs_f64() / longest.as_secs_f64() * BAR).round() as usize;
    let own = price.program.saturating_sub(price.kernel);
    let card = price.card.unwrap_or_default();
    [('#', own), ('k', price.kernel), ('.', card)]
        .map(|(letter, time)| letter.to_string().repeat(columns(time)))
        .concat()
}
