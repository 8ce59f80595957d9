//! The states of a queue pair, from the table that `modify_qp` checks against.

use ferroce_engine::{AttrMask, QpState, QpType, Transition, transitions};

use ferroce_visualizer::drawing::{Anchor, Drawing, Line};

const BOX: (u32, u32) = (90, 34);
const LEFT: u32 = 20;
const TOP: u32 = 12;
/// From one state down to the next.
const STEP: u32 = 108;
const ERR_LEFT: u32 = 560;
const WIDTH: u32 = 670;

pub(crate) fn draw() -> String {
    let column = column();
    let mut drawing = Drawing::new(WIDTH);
    let middle = LEFT + BOX.0 / 2;
    for (at, state) in (0..).zip(&column) {
        let y = TOP + at * STEP;
        drawing.box_((LEFT, y), BOX);
        drawing.strong((middle, y + 22), Anchor::Middle, state.name());
        drawing.text((LEFT + BOX.0 + 12, y + 14), Anchor::Start, meaning(*state));
        if transition(*state, QpState::Err).is_some() {
            drawing.line((LEFT + BOX.0, y + 22), (ERR_LEFT, y + 22), Line::Faint);
            drawing.line((ERR_LEFT - 1, y + 22), (ERR_LEFT, y + 22), Line::Arrow);
        }
    }
    for (at, pair) in (0..).zip(column.windows(2)) {
        let (y, next) = (TOP + at * STEP + BOX.1, TOP + (at + 1) * STEP);
        if let Some(down) = transition(pair[0], pair[1]) {
            drawing.line((middle, y), (middle, next), Line::Arrow);
            label(&mut drawing, (middle + 24, y + 28), &down);
        }
        if pair[0] != QpState::Reset && transition(pair[1], pair[0]).is_some() {
            drawing.line((middle - 20, next), (middle - 20, y), Line::Arrow);
        }
    }
    let bottom = TOP + (column.len() as u32 - 1) * STEP + BOX.1;
    drawing.box_((ERR_LEFT, TOP), (BOX.0, bottom - TOP));
    drawing.strong((ERR_LEFT + BOX.0 / 2, (TOP + bottom) / 2), Anchor::Middle, QpState::Err.name());
    let all_reset = QpState::ALL.into_iter().all(|state| transition(state, QpState::Reset).is_some());
    if all_reset {
        drawing.text(
            (LEFT, bottom + 28),
            Anchor::Start,
            "Every state can go to RESET. A queue pair that fails goes to ERR by itself.",
        );
    }
    drawing.finish(bottom + 40, "The states of a queue pair", &description())
}

/// The states on the way from creation to work and beyond, in the order in which the table leads on.
fn column() -> Vec<QpState> {
    let mut column = vec![QpState::Reset];
    let leads_on = |from: QpState, column: &[QpState]| {
        let mut ways = transitions(QpType::Rc).filter(|t| t.from == from && t.to != QpState::Err);
        ways.find(|t| !column.contains(&t.to)).map(|t| t.to)
    };
    while let Some(next) = leads_on(column[column.len() - 1], &column) {
        column.push(next);
    }
    column
}

fn transition(from: QpState, to: QpState) -> Option<Transition> {
    transitions(QpType::Rc).find(|t| (t.from, t.to) == (from, to))
}

/// The attributes that a transition requires, three to a line.
fn label(drawing: &mut Drawing, (x, y): (u32, u32), transition: &Transition) {
    let names = names(transition.required);
    for (row, names) in (0..).zip(names.chunks(3)) {
        drawing.text((x, y + row * 18), Anchor::Start, &names.join(", "));
    }
}

fn names(mask: AttrMask) -> Vec<String> {
    mask.iter_names().map(|(name, _)| name.to_owned()).collect()
}

fn meaning(state: QpState) -> &'static str {
    match state {
        QpState::Reset => "nothing can be posted",
        QpState::Init => "receives can be posted, packets are dropped",
        QpState::Rtr => "ready to receive: the responder works",
        QpState::Rts => "ready to send: the requester works too",
        QpState::Sqd => "send queue drained: nothing new is sent",
        QpState::Sqe | QpState::Err => "",
    }
}

fn description() -> String {
    let ways = transitions(QpType::Rc).filter(|t| t.to != QpState::Reset && t.from != t.to);
    let ways = ways.map(|t| format!("{} to {}", t.from.name(), t.to.name())).collect::<Vec<_>>();
    format!("Transitions: {}; every state to RESET.", ways.join(", "))
}
