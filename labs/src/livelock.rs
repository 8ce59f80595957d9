//! The lab "Livelock": where to go on after a loss.

use crate::ask::Ask;
use crate::course::{Lab, Language, Question, Step, course_file};
use crate::dice::Dice;
use crate::failure::{Row, Rule, Wrong};
use crate::talk::{Players, Stop};

pub(crate) const LIVELOCK: Lab = Lab {
    name: "livelock",
    title: "Livelock",
    language: Language::Rust,
    text: course_file!("livelock/README.md"),
    file: "restart.rs",
    starter: course_file!("livelock/starter.rs"),
    harness: course_file!("livelock/harness.rs"),
    modules: &[],
    steps: &[
        Step {
            name: STUCK,
            title: "when go-back-0 never ends",
            hints: &[
                "After a loss the network begins to count from 1 again, as the sender does.",
                "A message of period - 1 packets just fits between two losses; one of period packets never does.",
            ],
            questions: 24,
        },
        Step {
            name: RESTART,
            title: "where to go on instead",
            hints: &["What has arrived need not be sent again: go on with the first packet that is missing."],
            questions: 12,
        },
        Step {
            name: COST,
            title: "what a loss costs then",
            hints: &[
                "Of period packets that are sent, period - 1 arrive. The last one that is sent arrives, always.",
                "After (period - 1)·n packets have arrived and more must, n have been lost. So count how often the \
                 packets but the last one fill period - 1.",
            ],
            questions: 24,
        },
    ],
    draw: |step, number, dice| match step {
        STUCK => Box::new(stuck(number, dice)),
        RESTART => Box::new(Transfer::draw(number, dice)),
        _ => Box::new(cost(number, dice)),
    },
};

const STUCK: &str = "stuck";
const RESTART: &str = "restart";
const COST: &str = "cost";

const SOURCE: &str = "Guo et al., SIGCOMM 2016, section 4.1";

const NEVER: Rule = Rule {
    name: "livelock.go-back-0",
    text: "A message that begins anew after each loss arrives only if all of it fits between two losses.",
    source: SOURCE,
};

const PROGRESS: Rule = Rule {
    name: "livelock.progress",
    text: "Whatever is lost, a transfer gets on: packets that have arrived are not sent for ever.",
    source: SOURCE,
};

const MISSING: Rule = Rule {
    name: "restart.missing",
    text: "The sender goes on no later than with the first packet that is missing.",
    source: "IBTA volume 1, 9.7.5.1.2",
};

const EFFORT: Rule = Rule {
    name: "livelock.cost",
    text: "Of every `period` packets that are sent, one is lost and sent again; the last one sent is not lost.",
    source: SOURCE,
};

/// Packets and a period, the first ones around the point where it matters.
fn sizes(number: usize, dice: &mut Dice) -> (u64, u64) {
    let period = [2, 256, 3, 10][number % 4] + if number < 8 { 0 } else { dice.number(6) };
    let packets = match number / 4 % 3 {
        0 => period - 1,
        1 => period + number as u64 % 2,
        _ => 1 + dice.number(12),
    };
    (packets, period)
}

fn stuck(number: usize, dice: &mut Dice) -> Ask {
    let (packets, period) = sizes(number, dice);
    Ask {
        shown: format!("delivers({packets}, {period})"),
        line: format!("delivers {packets} {period}"),
        wanted: (packets < period).to_string(),
        rule: &NEVER,
    }
}

fn cost(number: usize, dice: &mut Dice) -> Ask {
    let (packets, period) = sizes(number, dice);
    let (mut sent, mut arrived) = (0, 0);
    while arrived < packets {
        sent += 1;
        arrived += u64::from(sent % period != 0);
    }
    Ask {
        shown: format!("sent({packets}, {period})"),
        line: format!("sent {packets} {period}"),
        wanted: sent.to_string(),
        rule: &EFFORT,
    }
}

/// Messages, one after the other, through a network that loses every `period`-th packet.
struct Transfer {
    messages: u64,
    packets: u64,
    period: u64,
    /// Packets that are on their way when the sender hears of a loss.
    flight: u64,
}

impl Transfer {
    fn draw(number: usize, dice: &mut Dice) -> Transfer {
        // More than what is under way, or the same packet would be lost every time.
        let period = 5 + dice.number(4);
        let packets = 2 * period + 1 + dice.number(5);
        Transfer { messages: 1 + number as u64 % 4, packets, period, flight: number as u64 % 3 }
    }
}

impl Question for Transfer {
    fn describe(&self) -> String {
        let Transfer { messages, packets, period, flight } = self;
        format!(
            "{messages} messages of {packets} packets, one packet in {period} is lost, {flight} more are under way"
        )
    }

    fn ask(&self, players: &mut Players<'_>) -> Result<(), Stop> {
        let &Transfer { messages, packets, period, flight } = self;
        let all = messages * packets;
        // Each loss costs what is under way and the lost packet itself; three times that is more than ever needed.
        let most = 3 * (all + period) * (flight + 2);
        let (mut next, mut expected, mut sent) = (0, 0, 0);
        // Packets until the sender hears of the loss.
        let mut hears_in = None;
        while expected < all {
            sent += 1;
            let is_lost = sent % period == 0;
            if next == expected && !is_lost {
                expected += 1;
            } else if hears_in.is_none() {
                hears_in = Some(flight);
            }
            next = (next + 1).min(all);
            if sent > most {
                let text = format!("{sent} packets were sent, and {expected} of {all} have arrived");
                return Err(Wrong::new(&PROGRESS, vec![Row::text("Seen", &text)]).into());
            }
            match hears_in {
                Some(0) => {
                    hears_in = None;
                    next = self.resume(players, expected)?;
                }
                Some(more) => hears_in = Some(more - 1),
                None => {}
            }
        }
        Ok(())
    }
}

impl Transfer {
    fn resume(&self, players: &mut Players<'_>, missing: u64) -> Result<u64, Stop> {
        let message = missing / self.packets * self.packets;
        let answer = players.ask(&format!("resume {message} {missing}"))?;
        match answer.parse() {
            Ok(next) if next <= missing => Ok(next),
            _ => {
                let text = format!(
                    "resume({message}, {missing}) returned {answer}: packet {missing} would never come"
                );
                Err(Wrong::new(&MISSING, vec![Row::text("Seen", &text)]).into())
            }
        }
    }
}
