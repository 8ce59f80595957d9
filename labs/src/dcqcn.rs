//! The lab "DCQCN": the student's reaction point beside the formulas, and several of them on one link.

use crate::course::{Lab, Language, Question, Step, course_file};
use crate::dice::Dice;
use crate::failure::{Row, Rule, Wrong};
use crate::talk::{Players, Stop};

pub(crate) const DCQCN: Lab = Lab {
    name: "dcqcn",
    title: "DCQCN",
    language: Language::Rust,
    text: course_file!("dcqcn/README.md"),
    file: "rate.rs",
    starter: course_file!("dcqcn/starter.rs"),
    harness: course_file!("dcqcn/harness.rs"),
    modules: &[],
    steps: &[
        Step {
            name: CUT,
            title: "CNPs, and alpha",
            hints: &[
                "Keep R_C, R_T, alpha, the line rate and two counters of steps.",
                "The cut uses alpha as it was before this CNP raises it.",
            ],
            questions: 6,
        },
        Step {
            name: RECOVER,
            title: "the way back up, by time",
            hints: &[
                "A step up sets R_C to the middle between R_C and R_T: five of these bring it to within 3 % of R_T.",
                "The sixth step of the timer is the first that raises R_T by R_AI, before R_C moves.",
                "A CNP sets both counters to 0.",
            ],
            questions: 6,
        },
        Step {
            name: BYTES,
            title: "the way up by bytes, and hyper increase",
            hints: &[
                "Both counters go through the same step; only what they have counted differs.",
                "i is min(by_time, by_bytes) − F, and it is hyper increase if that is at least 1.",
                "R_T is brought down to line rate before R_C moves to the middle.",
            ],
            questions: 8,
        },
        Step {
            name: SHARE,
            title: "several flows through one switch",
            hints: &[
                "If the steps before pass this does too, unless something is shared between flows: a static?",
            ],
            questions: 2,
        },
    ],
    draw: |step, number, dice| match step {
        SHARE => Box::new(Share { flows: 2 + 2 * number, seed: dice.bits() }),
        _ => Box::new(Calls::draw(step, number, dice)),
    },
};

const CUT: &str = "cut";
const RECOVER: &str = "recover";
const BYTES: &str = "bytes";
const SHARE: &str = "share";

/// Bits per second.
const LINE_RATE: f64 = 40e9;

/// Two rates are the same if they differ by less: rounding differs with the order of additions.
const TOLERANCE: f64 = 1e-9;

/// Calls that a message shows.
const SHOWN: usize = 7;

/// Jain's index of the shares, at least. With the paper's formulas it stays above 0.98.
const LEAST_JAIN: f64 = 0.95;

/// Part of the link that is used, at least.
const LEAST_USE: f64 = 0.9;

const SOURCE: &str = "Zhu et al., SIGCOMM 2015, section 3.3";

const CNP: Rule = Rule {
    name: "dcqcn.cut",
    text: "A CNP sets R_T to R_C, cuts R_C by the factor 1 − α/2, then raises α to (1 − g)·α + g.",
    source: SOURCE,
};

const ALPHA: Rule = Rule {
    name: "dcqcn.alpha",
    text: "While no CNP comes α shrinks by the factor 1 − g at each timer; nothing else changes.",
    source: SOURCE,
};

const STEP_UP: Rule = Rule {
    name: "dcqcn.increase",
    text: "A step up leaves R_T (fast recovery), adds R_AI (one counter beyond F) or i·R_HAI (both), and moves \
           R_C to the middle between R_C and R_T.",
    source: SOURCE,
};

const FAIR: Rule = Rule {
    name: "dcqcn.share",
    text: "Flows that share a link come to share it equally, and use it.",
    source: SOURCE,
};

/// A call of the reaction point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Cnp,
    Alpha,
    Timer,
    Bytes,
}

impl Call {
    const fn line(self) -> &'static str {
        match self {
            Call::Cnp => "cnp",
            Call::Alpha => "alpha",
            Call::Timer => "timer",
            Call::Bytes => "bytes",
        }
    }

    const fn method(self) -> &'static str {
        match self {
            Call::Cnp => "on_cnp()",
            Call::Alpha => "on_alpha_timer()",
            Call::Timer => "on_increase_timer()",
            Call::Bytes => "on_byte_counter()",
        }
    }
}

/// Calls, one after the other, each compared with the engine's reaction point.
struct Calls(Vec<Call>);

impl Calls {
    fn draw(step: &str, number: usize, dice: &mut Dice) -> Calls {
        // A cut first: before it the engine has no timers. Only after more of them R_T is below line rate, which hides
        // by how much it is raised.
        let mut calls = vec![Call::Cnp; 1 + number % 2];
        for _ in 0..8 + 6 * number {
            let call = match (step, dice.number(3)) {
                (CUT, 0..4) => Call::Cnp,
                (CUT, _) => Call::Alpha,
                (_, 0) if number > 2 => Call::Cnp,
                (_, 1) => Call::Alpha,
                (RECOVER, _) | (_, 0..5) => Call::Timer,
                _ => Call::Bytes,
            };
            calls.push(call);
        }
        if number > 3 {
            calls.extend(Calls::that_tell(step));
        }
        Calls(calls)
    }

    /// Calls in which every part of the formulas shows, whatever was drawn.
    fn that_tell(step: &str) -> Vec<Call> {
        use Call::{Alpha, Bytes, Cnp, Timer};
        match step {
            CUT => vec![Cnp, Alpha, Cnp, Cnp],
            RECOVER => [vec![Cnp; 2], vec![Timer; 4], vec![Cnp], vec![Timer; 8]].concat(),
            _ => [vec![Cnp; 2], [Timer, Bytes].repeat(8)].concat(),
        }
    }
}

impl Question for Calls {
    fn describe(&self) -> String {
        format!("{} calls, line rate 40 Gb/s", self.0.len())
    }

    fn ask(&self, players: &mut Players<'_>) -> Result<(), Stop> {
        players.ask(&format!("new 1 {LINE_RATE:.0}"))?;
        let mut formulas = Formulas::new();
        for (at, &call) in self.0.iter().enumerate() {
            formulas.call(call);
            let (seen, wanted) = (rates_after(players, &[(call, 0)])?[0], formulas.rate);
            if (seen - wanted).abs() > TOLERANCE * wanted {
                let from = at.saturating_sub(SHOWN);
                let calls: Vec<&str> = self.0[from..=at].iter().map(|call| call.method()).collect();
                let lines = [format!("expected  {}", words(wanted)), format!("seen      {}", words(seen))];
                let rows = vec![
                    Row::text("First", &format!("rate() is wrong after call {} of {}", at + 1, self.0.len())),
                    Row::exact("", lines),
                    Row::text("Calls", &calls.join(" ")),
                ];
                return Err(Wrong::new(rule_of(call), rows).into());
            }
        }
        Ok(())
    }
}

/// Calls the reaction points of flows, and gives the rate after each call.
fn rates_after(players: &mut Players<'_>, calls: &[(Call, usize)]) -> Result<Vec<f64>, Stop> {
    let words: Vec<String> = calls.iter().map(|(call, flow)| format!("{} {flow}", call.line())).collect();
    let answer = players.ask(&words.join(" "))?;
    let mut rates = answer.split(' ').map(|word| word.parse().unwrap_or(f64::NAN));
    Ok(calls.iter().map(|_| rates.next().unwrap_or(f64::NAN)).collect())
}

/// A rate for people.
fn words(rate: f64) -> String {
    format!("{:.6} Gb/s", rate / 1e9)
}

const fn rule_of(call: Call) -> &'static Rule {
    match call {
        Call::Cnp => &CNP,
        Call::Alpha => &ALPHA,
        Call::Timer | Call::Bytes => &STEP_UP,
    }
}

/// The formulas of the paper.
struct Formulas {
    rate: f64,
    target: f64,
    alpha: f64,
    by_time: u32,
    by_bytes: u32,
}

impl Formulas {
    const G: f64 = 1.0 / 256.0;
    const F: u32 = 5;
    const ADDITIVE: f64 = 40e6;
    const HYPER: f64 = 400e6;
    const LEAST: f64 = 10e6;

    fn new() -> Formulas {
        Formulas { rate: LINE_RATE, target: LINE_RATE, alpha: 1.0, by_time: 0, by_bytes: 0 }
    }

    fn call(&mut self, call: Call) {
        match call {
            Call::Cnp => {
                self.target = self.rate;
                self.rate = (self.rate * (1.0 - self.alpha / 2.0)).max(Self::LEAST);
                self.alpha = (1.0 - Self::G) * self.alpha + Self::G;
                (self.by_time, self.by_bytes) = (0, 0);
                return;
            }
            Call::Alpha => {
                self.alpha *= 1.0 - Self::G;
                return;
            }
            Call::Timer => self.by_time += 1,
            Call::Bytes => self.by_bytes += 1,
        }
        let (least, most) = (self.by_time.min(self.by_bytes), self.by_time.max(self.by_bytes));
        if least > Self::F {
            self.target += f64::from(least - Self::F) * Self::HYPER;
        } else if most > Self::F {
            self.target += Self::ADDITIVE;
        }
        self.target = self.target.min(LINE_RATE);
        self.rate = f64::midpoint(self.rate, self.target);
    }
}

/// Flows on one link whose switch marks.
struct Share {
    flows: usize,
    seed: u64,
}

impl Share {
    /// Seconds of one turn, in which a flow gets a CNP or not.
    const TURN: f64 = 50e-6;
    const TURNS: usize = 2_000;
    /// Turns at the end in which shares are measured.
    const MEASURED: usize = 600;
    const PACKET: f64 = 1_000.0;
    /// Where marking begins, where everything is marked, and how much at most in between: bytes, bytes, fraction.
    const MARKS: (f64, f64, f64) = (5e3, 200e3, 0.01);
    const BYTE_COUNTER: f64 = 10e6;
    /// What a shared buffer holds at most.
    const BUFFER: f64 = 2e6;

    /// Chance that a packet is marked at this length of the queue.
    fn marks(queue: f64) -> f64 {
        let (from, to, most) = Self::MARKS;
        match queue {
            queue if queue < from => 0.0,
            queue if queue > to => 1.0,
            queue => most * (queue - from) / (to - from),
        }
    }
}

impl Question for Share {
    fn describe(&self) -> String {
        format!("{} flows on a link of 40 Gb/s, {} turns of 50 microseconds", self.flows, Self::TURNS)
    }

    fn ask(&self, players: &mut Players<'_>) -> Result<(), Stop> {
        players.ask(&format!("new {} {LINE_RATE:.0}", self.flows))?;
        let mut dice = Dice::new(self.seed);
        let mut rates = vec![LINE_RATE; self.flows];
        let mut bytes = vec![0.0; self.flows];
        let mut sums = vec![0.0; self.flows];
        let (mut queue, mut used) = (0.0f64, 0.0);
        for turn in 0..Self::TURNS {
            let total: f64 = rates.iter().sum();
            queue = (queue + (total - LINE_RATE) * Self::TURN / 8.0).clamp(0.0, Self::BUFFER);
            let unmarked = 1.0 - Self::marks(queue);
            let mut calls = Vec::new();
            for flow in 0..self.flows {
                let sent = rates[flow] * Self::TURN / 8.0;
                let chance = 1.0 - unmarked.powf(sent / Self::PACKET);
                if (dice.number(32) as f64) < chance * f64::from(u32::MAX) {
                    calls.push((Call::Cnp, flow));
                    bytes[flow] = 0.0;
                    continue;
                }
                calls.extend([(Call::Alpha, flow), (Call::Timer, flow)]);
                bytes[flow] += sent;
                if bytes[flow] > Self::BYTE_COUNTER {
                    bytes[flow] -= Self::BYTE_COUNTER;
                    calls.push((Call::Bytes, flow));
                }
            }
            for ((_, flow), rate) in calls.iter().zip(rates_after(players, &calls)?) {
                rates[*flow] = rate;
            }
            if turn >= Self::TURNS - Self::MEASURED {
                used += (rates.iter().sum::<f64>() / LINE_RATE).min(1.0) / Self::MEASURED as f64;
                sums.iter_mut().zip(&rates).for_each(|(sum, rate)| *sum += rate / Self::MEASURED as f64);
            }
        }
        let squares: f64 = sums.iter().map(|rate| rate * rate).sum();
        let jain = sums.iter().sum::<f64>().powi(2) / (self.flows as f64 * squares);
        // Not a number is not fair either.
        if jain >= LEAST_JAIN && used >= LEAST_USE {
            return Ok(());
        }
        let shares: Vec<String> = sums.iter().map(|rate| format!("{:.1}", rate / 1e9)).collect();
        let text = format!(
            "shares in the end, Gb/s: {}; Jain's index {jain:.3} (at least {LEAST_JAIN}), {:.0} % of the link used \
             (at least {:.0} %)",
            shares.join(", "),
            used * 100.0,
            LEAST_USE * 100.0
        );
        Err(Wrong::new(&FAIR, vec![Row::text("Seen", &text)]).into())
    }
}
