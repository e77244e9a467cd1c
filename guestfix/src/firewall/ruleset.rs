//! What becomes of a packet at the rules of a firewall, whatever they were written in: chains at hooks of the
//! kernel, in each the first rule that decides, jumps and returns, and a policy at the end. A drop in any
//! chain of any hook is final; to accept ends that chain only (nft(8), "Chains"; iptables(8)).

use std::collections::HashMap;

use super::packet::Fit;

/// How deep jumps go. The kernel takes 16 of nft's.
const DEPTH: usize = 64;
/// The most rules that are gone through for one packet.
const STEPS: usize = 1 << 18;

/// As many are named of those that are let in.
const SHOWN: usize = 8;

/// What becomes of a packet that a rule is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Accept,
    Drop,
    Jump(String),
    Goto(String),
    Return,
    /// It goes on to the next rule.
    Next,
    /// The same, and conntrack does not look at it.
    Untrack,
    /// It is sent to another port or machine.
    Divert,
    /// Nobody can tell: what is not understood.
    Unknown(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// As it is written.
    pub(super) text: String,
    pub(super) fit: Fit,
    pub(super) verdict: Verdict,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Chain {
    /// Whether it is at a hook that the packet comes by.
    pub(super) is_base: bool,
    /// Whether it drops what no rule decides.
    pub(super) drops: bool,
    pub(super) rules: Vec<Rule>,
}

/// The chains by their names, each as one packet sees them.
#[derive(Debug, Clone, Default)]
pub(super) struct Ruleset {
    pub(super) chains: HashMap<String, Chain>,
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    In,
    /// It is let in if it is of a few: "from 10.0.0.0/8".
    Limited(Vec<String>),
    /// It is not let in: the rule that decides, or nothing for a policy.
    Out(Option<String>),
    /// It is sent elsewhere, by this rule.
    Elsewhere(String),
    /// Nobody can tell.
    Unknown(String),
}

impl Fate {
    /// That of a packet of which both hold.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (out @ (Self::Out(_) | Self::Elsewhere(_)), _)
            | (_, out @ (Self::Out(_) | Self::Elsewhere(_))) => out,
            (unknown @ Self::Unknown(_), _) | (_, unknown @ Self::Unknown(_)) => unknown,
            (Self::Limited(mut a), Self::Limited(b)) => {
                a.extend(b.into_iter().filter(|one| !a.contains(one)).collect::<Vec<_>>());
                Self::Limited(a)
            }
            (limited @ Self::Limited(_), _) | (_, limited @ Self::Limited(_)) => limited,
            (Self::In, Self::In) => Self::In,
        }
    }

    /// That of most packets, where it is another one for a few.
    fn but_for(self, which: &str, few: impl FnOnce() -> Self) -> Self {
        if self == Self::In {
            return self;
        }
        let few = few();
        match (self, few) {
            (Self::Limited(mut most), Self::In) => {
                most.truncate(SHOWN);
                most.insert(0, which.to_owned());
                Self::Limited(most)
            }
            (Self::Out(_) | Self::Elsewhere(_) | Self::Unknown(_), Self::In) => {
                Self::Limited(vec![which.to_owned()])
            }
            (Self::Out(_) | Self::Elsewhere(_), few @ (Self::Limited(_) | Self::Unknown(_))) => few,
            (most, _) => most,
        }
    }
}

/// A place among the rules: a chain, and the rule in it.
type At<'a> = (&'a str, usize);

struct Walk<'a> {
    chains: &'a HashMap<String, Chain>,
    steps: usize,
    /// Of places with all those that a return goes back to.
    known: HashMap<Vec<At<'a>>, Fate>,
    /// Cards on which a rule would let it in.
    cards: Vec<&'a str>,
}

impl Ruleset {
    pub(super) fn chain(&mut self, name: &str) -> &mut Chain {
        self.chains.entry(name.to_owned()).or_default()
    }

    /// Whether a rule keeps the packet from conntrack.
    pub(super) fn untracks(&self) -> bool {
        let mut rules = self.chains.values().flat_map(|chain| &chain.rules);
        rules.any(|rule| rule.verdict == Verdict::Untrack && rule.fit == Fit::Yes)
    }

    /// What becomes of the packet at all chains that it comes by, and the cards on which it would be let in.
    pub(super) fn fate(&self) -> (Fate, Vec<&str>) {
        let mut walk = Walk { chains: &self.chains, steps: 0, known: HashMap::new(), cards: Vec::new() };
        let mut bases: Vec<(&String, &Chain)> =
            self.chains.iter().filter(|(_, chain)| chain.is_base).collect();
        bases.sort_by_key(|(name, _)| *name);
        let mut fate = Fate::In;
        for (name, chain) in bases {
            fate = fate.and(walk.from(vec![(name, 0)], chain.drops, 0));
        }
        walk.cards.dedup();
        (fate, walk.cards)
    }
}

impl<'a> Walk<'a> {
    /// What becomes of it from a place on; the last of the stack is where it is.
    fn from(&mut self, stack: Vec<At<'a>>, drops: bool, depth: usize) -> Fate {
        if let Some(fate) = self.known.get(&stack) {
            return fate.clone();
        }
        let fate = self.along(stack.clone(), drops, depth);
        self.known.insert(stack, fate.clone());
        fate
    }

    fn along(&mut self, mut stack: Vec<At<'a>>, drops: bool, depth: usize) -> Fate {
        // What a few came to, by rules on the way.
        let mut few: Vec<(&'a str, Fate)> = Vec::new();
        let end = loop {
            let Some((name, at)) = stack.pop() else { break if drops { Fate::Out(None) } else { Fate::In } };
            let Some(chain) = self.chains.get(name) else {
                break Fate::Unknown(format!("there is no chain {name}"));
            };
            let Some(rule) = chain.rules.get(at) else { continue };
            stack.push((name, at.saturating_add(1)));
            self.steps = self.steps.saturating_add(1);
            if self.steps > STEPS || stack.len() > DEPTH || depth > DEPTH {
                break Fate::Unknown("its rules are too many, or jump too deep".into());
            }
            match &rule.fit {
                Fit::No => {}
                Fit::OnCard(card) => {
                    if rule.verdict == Verdict::Accept {
                        self.cards.push(card);
                    }
                }
                Fit::Yes => {
                    if let Some(fate) = self.decided(&rule.verdict, &rule.text, &mut stack) {
                        break fate;
                    }
                }
                _ if matches!(rule.verdict, Verdict::Next | Verdict::Untrack) => {}
                Fit::Few(which) => few.push((which, self.branch(rule, &stack, drops, depth))),
                Fit::Most(which) => {
                    let most = self.branch(rule, &stack, drops, depth);
                    break most.but_for(which, || self.from(stack, drops, depth.saturating_add(1)));
                }
                Fit::Unknown(what) => {
                    let fits = self.branch(rule, &stack, drops, depth);
                    let else_ = self.from(stack, drops, depth.saturating_add(1));
                    break match fits == else_ {
                        true => fits,
                        false => Fate::Unknown(what.clone()),
                    };
                }
            }
        };
        few.into_iter().rev().fold(end, |most, (which, few)| most.but_for(which, || few))
    }

    /// What becomes of a packet that the rule is for.
    fn branch(&mut self, rule: &'a Rule, stack: &[At<'a>], drops: bool, depth: usize) -> Fate {
        let mut stack = stack.to_vec();
        match self.decided(&rule.verdict, &rule.text, &mut stack) {
            Some(fate) => fate,
            None => self.from(stack, drops, depth.saturating_add(1)),
        }
    }

    /// What a verdict makes of it; `None` if it goes on from where the stack then is.
    fn decided(&mut self, verdict: &'a Verdict, text: &str, stack: &mut Vec<At<'a>>) -> Option<Fate> {
        match verdict {
            Verdict::Accept => return Some(Fate::In),
            Verdict::Drop => return Some(Fate::Out(Some(text.to_owned()))),
            Verdict::Divert => return Some(Fate::Elsewhere(text.to_owned())),
            Verdict::Unknown(what) => return Some(Fate::Unknown(what.clone())),
            Verdict::Jump(chain) => stack.push((chain, 0)),
            Verdict::Goto(chain) => {
                stack.pop();
                stack.push((chain, 0));
            }
            Verdict::Return => drop(stack.pop()),
            Verdict::Next | Verdict::Untrack => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(fit: Fit, verdict: Verdict) -> Rule {
        Rule { text: format!("{verdict:?}"), fit, verdict }
    }

    fn few(verdict: Verdict) -> Rule {
        rule(Fit::Few("from a".into()), verdict)
    }

    fn all(verdict: Verdict) -> Rule {
        rule(Fit::Yes, verdict)
    }

    fn fate(drops: bool, rules: Vec<Rule>, other: Vec<Rule>) -> Fate {
        let mut set = Ruleset::default();
        *set.chain("in") = Chain { is_base: true, drops, rules };
        set.chain("other").rules = other;
        set.fate().0
    }

    fn jump() -> Verdict {
        Verdict::Jump("other".into())
    }

    #[test]
    fn the_first_rule_that_decides_counts() {
        use Verdict::{Accept, Drop, Next, Return};
        assert_eq!(fate(true, vec![], vec![]), Fate::Out(None));
        assert_eq!(fate(false, vec![all(Next), rule(Fit::No, Drop)], vec![]), Fate::In);
        assert_eq!(fate(true, vec![all(Accept), all(Drop)], vec![]), Fate::In);
        assert_eq!(fate(false, vec![all(Return), all(Drop)], vec![]), Fate::In);
        assert_eq!(fate(false, vec![all(Drop)], vec![]), Fate::Out(Some("Drop".into())));
        assert_eq!(fate(true, vec![all(jump()), all(Accept)], vec![all(Return), all(Drop)]), Fate::In);
        assert_eq!(
            fate(true, vec![all(Verdict::Goto("other".into())), all(Accept)], vec![]),
            Fate::Out(None)
        );
        assert!(matches!(fate(true, vec![all(Verdict::Jump("none".into()))], vec![]), Fate::Unknown(_)));
    }

    #[test]
    fn a_few_may_fare_otherwise() {
        use Verdict::{Accept, Drop, Return};
        let limited = || Fate::Limited(vec!["from a".into()]);
        assert_eq!(fate(true, vec![few(Accept)], vec![]), limited());
        assert_eq!(fate(false, vec![few(Drop)], vec![]), Fate::In);
        assert_eq!(fate(true, vec![few(jump())], vec![all(Accept)]), limited());
        let most = |verdict| rule(Fit::Most("from a".into()), verdict);
        assert_eq!(fate(true, vec![most(Accept)], vec![]), Fate::In);
        assert_eq!(fate(false, vec![most(Drop)], vec![]), limited());
        assert_eq!(fate(true, vec![all(jump())], vec![few(Return), all(Accept)]), Fate::In);
        let unknown = |verdict| rule(Fit::Unknown("x".into()), verdict);
        assert_eq!(fate(true, vec![unknown(Accept), all(Accept)], vec![]), Fate::In);
        assert_eq!(fate(true, vec![unknown(Accept)], vec![]), Fate::Unknown("x".into()));
        assert_eq!(fate(true, vec![unknown(Verdict::Next)], vec![]), Fate::Out(None));
    }

    #[test]
    fn rules_that_go_in_circles_or_branch_without_end_come_to_an_end() {
        let circle = fate(false, vec![all(jump())], vec![all(jump())]);
        assert!(matches!(circle, Fate::Unknown(_)), "{circle:?}");
        let many = |fit: fn(String) -> Fit| {
            (0..400).map(|n| rule(fit(format!("from {n}")), jump())).collect::<Vec<_>>()
        };
        assert_eq!(fate(false, many(Fit::Few), vec![few(Verdict::Return)]), Fate::In);
        let _ = fate(true, many(Fit::Most), vec![]);
        let _ = fate(true, many(Fit::Unknown), vec![]);
    }
}
