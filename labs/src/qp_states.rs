//! The lab "The states of a queue pair": the student decides what the engine's table decides.

use ferroce_engine::{AttrMask, QpState, QpType, Transition, transitions};

use crate::ask::Ask;
use crate::course::{Lab, Language, Question, Step, course_file};
use crate::dice::Dice;
use crate::failure::Rule;

pub(crate) const QP_STATES: Lab = Lab {
    name: "qp-states",
    title: "The states of a queue pair",
    language: Language::Rust,
    text: course_file!("qp-states/README.md"),
    file: "states.rs",
    starter: course_file!("qp-states/starter.rs"),
    harness: course_file!("qp-states/harness.rs"),
    modules: &[],
    steps: &[
        Step {
            name: PATHS,
            title: "from which state to which",
            hints: &[
                "Match on (from, to): there are six pairs beside those that lead to Reset and to Err.",
                "The one exception: a queue pair that is in Reset cannot go to Err.",
            ],
            questions: STATES.len() * STATES.len(),
        },
        Step {
            name: ATTRIBUTES,
            title: "what a step must bring, and what it may",
            hints: &[
                "Have a function give two lists for a pair of states, required and optional. Then two questions \
                 remain: is every required one given, and is every given one in one of the lists?",
            ],
            questions: STEPS.len() * (ATTRS.len() + 2),
        },
        Step {
            name: POSTS,
            title: "what can be posted in which state",
            hints: &["In Err both queues take everything; in Reset neither takes anything."],
            questions: 2 * STATES.len(),
        },
    ],
    draw: |step, number, dice| -> Box<dyn Question> {
        Box::new(match step {
            PATHS => path(number),
            ATTRIBUTES => attributes(number, dice),
            _ => post(number),
        })
    },
};

const PATHS: &str = "paths";
const ATTRIBUTES: &str = "attributes";
const POSTS: &str = "posts";

const SOURCE: &str = "IBTA volume 1, 11.2.5.2";

const PATH: Rule = Rule {
    name: "qp.path",
    text: "Reset, Init, Rtr, Rts: no state can be left out on the way up. Reset can be reached from everywhere, Err \
           from everywhere but Reset.",
    source: SOURCE,
};

const REQUIRED: Rule = Rule {
    name: "qp.required",
    text: "A step is refused if one of the attributes is missing that it must have.",
    source: SOURCE,
};

const UNKNOWN: Rule = Rule {
    name: "qp.unknown",
    text: "A step is refused if it brings an attribute that it neither must nor may have.",
    source: SOURCE,
};

const COMPLETE: Rule = Rule {
    name: "qp.complete",
    text: "A step with all that it must have, and nothing but that and what it may have, is taken.",
    source: SOURCE,
};

const POST: Rule = Rule {
    name: "qp.post",
    text: "Receives can be posted from Init on, sends in Rts; in Err both are taken and flushed.",
    source: "IBTA volume 1, 10.3.1",
};

const STATES: [(QpState, &str); 5] = [
    (QpState::Reset, "Reset"),
    (QpState::Init, "Init"),
    (QpState::Rtr, "Rtr"),
    (QpState::Rts, "Rts"),
    (QpState::Err, "Err"),
];

/// Attributes in the order of the student's `Attr`.
const ATTRS: [(AttrMask, &str); 14] = [
    (AttrMask::PKEY_INDEX, "PkeyIndex"),
    (AttrMask::PORT, "Port"),
    (AttrMask::ACCESS_FLAGS, "AccessFlags"),
    (AttrMask::AV, "Av"),
    (AttrMask::PATH_MTU, "PathMtu"),
    (AttrMask::DEST_QPN, "DestQpn"),
    (AttrMask::RQ_PSN, "RqPsn"),
    (AttrMask::MAX_DEST_RD_ATOMIC, "MaxDestRdAtomic"),
    (AttrMask::MIN_RNR_TIMER, "MinRnrTimer"),
    (AttrMask::SQ_PSN, "SqPsn"),
    (AttrMask::TIMEOUT, "Timeout"),
    (AttrMask::RETRY_CNT, "RetryCnt"),
    (AttrMask::RNR_RETRY, "RnrRetry"),
    (AttrMask::MAX_QP_RD_ATOMIC, "MaxQpRdAtomic"),
];

/// The steps that have attributes, from state to state.
const STEPS: [[usize; 2]; 6] = [[0, 1], [1, 2], [2, 3], [1, 1], [3, 3], [3, 4]];

/// The engine's rule for a step.
fn transition(from: usize, to: usize) -> Option<Transition> {
    transitions(QpType::Rc).find(|step| (step.from, step.to) == (STATES[from].0, STATES[to].0))
}

fn path(number: usize) -> Ask {
    let (from, to) = (number / STATES.len(), number % STATES.len());
    let step = transition(from, to);
    modify(from, to, step.map_or(AttrMask::empty(), |step| step.required), &PATH)
}

/// A step with all that it must have, but for one attribute, each in its turn: without it if it must be there, else with
/// it. Then with some of those that it may have, and now and then with one too many or too few.
fn attributes(number: usize, dice: &mut Dice) -> Ask {
    let [from, to] = STEPS[number % STEPS.len()];
    let step = transition(from, to).expect("these are steps");
    let given = match ATTRS.get(number / STEPS.len()) {
        Some((attr, _)) => step.required ^ *attr,
        None => {
            let some = step.required | (step.optional & AttrMask::from_bits_truncate(dice.bits() as u32));
            if dice.flag() { some } else { some ^ ATTRS[dice.bits() as usize % ATTRS.len()].0 }
        }
    };
    let rule = match (given.contains(step.required), (step.required | step.optional).contains(given)) {
        (false, _) => &REQUIRED,
        (true, false) => &UNKNOWN,
        (true, true) => &COMPLETE,
    };
    modify(from, to, given, rule)
}

fn modify(from: usize, to: usize, given: AttrMask, rule: &'static Rule) -> Ask {
    let fits =
        |step: Transition| given.contains(step.required) && (step.required | step.optional).contains(given);
    let attrs: Vec<(usize, &str)> = ATTRS
        .iter()
        .enumerate()
        .filter(|(_, (attr, _))| given.contains(*attr))
        .map(|(at, (_, name))| (at, *name))
        .collect();
    let names: Vec<&str> = attrs.iter().map(|(_, name)| *name).collect();
    let numbers: String = attrs.iter().map(|(at, _)| format!(" {at}")).collect();
    Ask {
        shown: format!("modify({}, {}, [{}])", STATES[from].1, STATES[to].1, names.join(", ")),
        line: format!("modify {from} {to}{numbers}"),
        wanted: transition(from, to).is_some_and(fits).to_string(),
        rule,
    }
}

fn post(number: usize) -> Ask {
    let (state, queue) = (number / 2, number % 2);
    let wanted = match (STATES[state].0, queue) {
        (QpState::Err, _) => "Flushed",
        (QpState::Rts, _) | (QpState::Init | QpState::Rtr, 1) => "Taken",
        _ => "Refused",
    };
    Ask {
        shown: format!("post({}, {})", STATES[state].1, ["Send", "Receive"][queue]),
        line: format!("post {state} {queue}"),
        wanted: wanted.to_owned(),
        rule: &POST,
    }
}
