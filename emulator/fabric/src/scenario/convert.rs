//! From tables to what the engine and the fabric work with.

use ferroce_engine::{
    CnpPolicy, Congestion, Dcqcn, DcqcnParams, GoBack0, GoBackN, PathMtu, Personality, Psn, SelectiveRepeat,
    Timely, TimelyParams,
};
use ferroce_wire::Opcode;

use super::{Action, CongestionKind, HostTable, LinkTable, RecoveryKind, RuleTable};
use crate::dice::Chance;
use crate::fabric::HostId;
use crate::link::Link;
use crate::rule::{Fate, Match, Occurrence, Rule};

/// First PSN of every connection.
pub(crate) const FIRST_PSN: u32 = 0x1000;

impl HostTable {
    /// The choices of a NIC whose port has this rate.
    pub fn personality(&self, line_rate: u64) -> Personality {
        let base = Personality::by_name(&self.personality).unwrap_or_default();
        let recovery: Box<dyn ferroce_engine::Recovery> = match self.recovery {
            None => base.recovery.clone(),
            Some(RecoveryKind::GoBackN) => Box::new(GoBackN),
            Some(RecoveryKind::GoBack0) => Box::new(GoBack0),
            Some(RecoveryKind::SelectiveRepeat) => Box::new(SelectiveRepeat::default()),
        };
        let window = self.window.unwrap_or(base.window);
        let timeout_growth = self.timeout_growth.unwrap_or(base.timeout_growth);
        Personality { recovery, window, timeout_growth, congestion: self.control(line_rate), ..base }
    }

    fn control(&self, line_rate: u64) -> Congestion {
        let min_rate = self.min_rate.0 as f64;
        let congestion = match self.congestion {
            CongestionKind::None => return Congestion::default(),
            CongestionKind::Dcqcn => Congestion::with(Dcqcn::new(DcqcnParams {
                g: self.g,
                alpha_timer: self.alpha_timer.0,
                increase_timer: self.increase_timer.0,
                byte_counter: self.byte_counter.0,
                fast_recovery: self.fast_recovery,
                additive: self.additive.0 as f64,
                hyper: self.hyper.0 as f64,
                min_rate,
                ..DcqcnParams::paper(line_rate)
            })),
            CongestionKind::Timely => Congestion::with(Timely::new(TimelyParams {
                t_low: self.t_low.0,
                t_high: self.t_high.0,
                min_rtt: self.min_rtt.0,
                min_rate,
                ..TimelyParams::paper(line_rate)
            })),
        };
        let notify = CnpPolicy { interval: self.cnp_interval.0, ..CnpPolicy::default() };
        Congestion { notify: Some(notify), ..congestion }
    }

    /// The path MTU.
    pub(crate) fn path_mtu(&self) -> PathMtu {
        let all = [PathMtu::Mtu256, PathMtu::Mtu512, PathMtu::Mtu1024, PathMtu::Mtu2048, PathMtu::Mtu4096];
        all.into_iter().find(|mtu| mtu.bytes() as u32 == self.mtu).unwrap_or(PathMtu::Mtu1024)
    }
}

impl LinkTable {
    /// A link with these faults and no latency.
    pub(crate) fn link(&self) -> Link {
        let chance = |share: super::Share| Chance::millionths(share.millionths());
        Link {
            latency: core::time::Duration::ZERO,
            jitter: self.jitter.0,
            loss: chance(self.loss),
            duplicate: chance(self.duplicate),
            reorder: chance(self.reorder),
            reorder_by: self.reorder_by.0,
            corrupt: chance(self.corrupt),
        }
    }
}

impl RuleTable {
    /// The rule for the fabric.
    pub(crate) fn rule(&self) -> Rule {
        let host = |number: Option<u32>| number.map(|number| HostId(number as usize));
        let opcodes = || (0..=255).filter_map(Opcode::from_u8);
        let opcode = self.opcode.as_ref().and_then(|name| opcodes().find(|opcode| opcode.name() == name));
        let when = Match {
            from: host(self.from),
            to: host(self.to),
            opcode,
            psn: self.psn.map(|psn| Psn::new(FIRST_PSN.wrapping_add(psn))),
            ident_low: self.ident_low,
            occurrence: match (self.nth, self.first) {
                (Some(nth), _) => Occurrence::Nth(nth),
                (None, Some(first)) => Occurrence::First(first),
                (None, None) => Occurrence::Every,
            },
            ..Match::ANY
        };
        let then = match self.action {
            Action::Drop => Fate::Drop,
            Action::Corrupt => Fate::Corrupt,
            Action::Duplicate => Fate::Duplicate(self.delay.0),
            Action::Delay => Fate::Delay(self.delay.0),
            Action::Mark => Fate::Mark,
        };
        Rule::new(when, then)
    }
}
