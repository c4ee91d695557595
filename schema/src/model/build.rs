//! A checked source as a model. Whatever could be wrong has been reported before, so nothing here can fail.

use super::{
    Access, Action, ActionVerb, Argument, Bit, Calls, Choice, Condition, Denial, Effect, Encoding,
    Field, FieldKind, Group, Model, PackageManager, Region, Rule, Shape, Variable,
};
use crate::encode;
use crate::name::Name;
use crate::source::{self, Source};

/// The model of a source in which the checks found nothing.
pub fn build(source: &Source) -> Model {
    let mut regions: Vec<Region> = source
        .regions
        .iter()
        .map(|placed| region(&placed.item))
        .collect();
    regions.sort_by_key(|region| region.offset);
    let actions = source
        .actions
        .iter()
        .map(|placed| action(&placed.item))
        .collect();
    Model {
        format: source.format,
        size: source.size,
        regions,
        actions,
        filter: source
            .filter
            .iter()
            .map(|placed| rule(&placed.item))
            .collect(),
        package_managers: source
            .package_managers
            .iter()
            .map(|placed| package_manager(&placed.item))
            .collect(),
        variables: source
            .variables
            .iter()
            .map(|placed| variable(&placed.item))
            .collect(),
    }
}

fn variable(variable: &source::Variable) -> Variable {
    let choices = variable.choices.iter();
    Variable {
        name: name(&variable.name.replacen("FIM_", "", 1).to_ascii_lowercase()),
        summary: variable.summary.clone(),
        docs: variable.docs.clone(),
        choices: choices
            .map(|word| (name(&word.name), word.summary.clone()))
            .collect(),
    }
}

fn package_manager(manager: &source::PackageManager) -> PackageManager {
    PackageManager {
        program: manager.program.clone(),
        summary: manager.summary.clone(),
        distributions: manager.distributions.clone(),
        refresh: manager.refresh.clone(),
        install: manager.install.clone(),
    }
}

fn rule(rule: &source::Rule) -> Rule {
    let deny = rule.deny.iter().map(|denial| Denial {
        calls: match &denial.above {
            Some(call) => Calls::Above(call.clone()),
            None => Calls::Named(denial.calls.clone()),
        },
        condition: denial
            .when
            .as_ref()
            .map(|condition| (condition.argument, condition.value.clone())),
        answer: denial.answer,
    });
    Rule {
        name: name(&rule.name),
        summary: rule.summary.clone(),
        reason: rule.reason.clone(),
        emulates: rule.emulates,
        deny: deny.collect(),
    }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("names have been checked")
}

fn region(region: &source::Region) -> Region {
    Region {
        name: name(&region.name),
        command: region.command.as_deref().map(name),
        offset: region.offset,
        size: region.size,
        encoding: encoding(&region.encoding),
        default: encode::encode(&region.encoding, region.default.as_ref())
            .expect("defaults have been checked"),
        summary: region.summary.clone(),
        docs: region.docs.clone(),
        variable: region.variable.clone(),
        effects: effects(&region.effects),
    }
}

fn encoding(encoding: &source::Encoding) -> Encoding {
    match encoding {
        source::Encoding::Flag => Encoding::Flag,
        source::Encoding::Choice(choices) => Encoding::Choice(choices.iter().map(choice).collect()),
        source::Encoding::Bits(bits) => Encoding::Bits(
            bits.bits.iter().map(bit).collect(),
            bits.groups
                .iter()
                .map(|group| self::group(group, &bits.bits))
                .collect(),
        ),
        source::Encoding::Text(text) => Encoding::Text {
            max: text.max,
            schemes: text.schemes.clone(),
            path: text.path,
        },
        source::Encoding::Map => Encoding::Map,
        source::Encoding::List(fields) => Encoding::List(fields.fields.iter().map(field).collect()),
        source::Encoding::Record(fields) => {
            Encoding::Record(fields.fields.iter().map(field).collect())
        }
        source::Encoding::Blob => Encoding::Blob,
    }
}

fn choice(choice: &source::Choice) -> Choice {
    Choice {
        name: name(&choice.name),
        output: choice.output.clone().unwrap_or_else(|| choice.name.clone()),
        summary: choice.summary.clone(),
        effects: effects(&choice.effects),
    }
}

fn bit(bit: &source::Bit) -> Bit {
    Bit {
        number: bit.number,
        name: name(&bit.name),
        summary: bit.summary.clone(),
        docs: bit.docs.clone(),
        required: bit.required.clone(),
        hint: bit.hint.clone(),
        effects: effects(&bit.effects),
        otherwise: effects(&bit.otherwise),
    }
}

fn group(group: &source::Group, bits: &[source::Bit]) -> Group {
    let members = bits.iter().filter(|bit| group.bits.contains(&bit.name));
    let mask = members.fold(0, |mask, bit| mask | 1_u64 << bit.number);
    Group {
        name: name(&group.name),
        mask,
        summary: group.summary.clone(),
    }
}

fn field(field: &source::Field) -> Field {
    Field {
        name: name(&field.name),
        output: field.output.clone().unwrap_or_else(|| field.name.clone()),
        kind: match &field.kind {
            source::FieldKind::Text => FieldKind::Text,
            source::FieldKind::Path(side) => FieldKind::Path(*side),
            source::FieldKind::Number => FieldKind::Number,
            source::FieldKind::Texts => FieldKind::Texts,
            source::FieldKind::Choice(names) => {
                FieldKind::Choice(names.iter().map(|text| name(text)).collect())
            }
        },
        unset: field.unset.clone(),
        summary: field.summary.clone(),
    }
}

fn effects(effects: &[source::Effect]) -> Vec<Effect> {
    effects.iter().map(effect).collect()
}

fn effect(effect: &source::Effect) -> Effect {
    match effect {
        source::Effect::Bind(bind) => Effect::Bind {
            source: bind.source.clone(),
            target: bind.target.clone().unwrap_or_else(|| bind.source.clone()),
            access: access(&bind.access).expect("the access of binds has been checked"),
            missing: bind.missing,
            glob: bind.glob,
        },
        source::Effect::Libraries(libraries) => Effect::Libraries {
            names: libraries.names.clone(),
            target: libraries.target.clone(),
        },
        source::Effect::Setenv(setenv) => Effect::Setenv {
            name: setenv.name.clone(),
            value: setenv.value.clone(),
        },
        source::Effect::Tmpfs(tmpfs) => Effect::Tmpfs {
            target: tmpfs.target.clone(),
        },
        source::Effect::Symlink(symlink) => Effect::Symlink {
            link: symlink.link.clone(),
            target: symlink.target.clone(),
        },
        source::Effect::Share(share) => Effect::Share {
            namespace: share.namespace,
        },
        source::Effect::Subordinate(source::Subordinate {}) => Effect::Subordinate,
        source::Effect::Fold(source::Fold {}) => Effect::Fold,
        source::Effect::Allow(allow) => Effect::Allow {
            rules: allow.rules.iter().map(|text| name(text)).collect(),
        },
        source::Effect::Emulate(emulate) => Effect::Emulate {
            rules: emulate.rules.iter().map(|text| name(text)).collect(),
        },
        source::Effect::File(file) => Effect::File {
            target: file.target.clone(),
            text: file.text.clone(),
        },
        source::Effect::Unmask(unmask) => Effect::Unmask {
            target: unmask.target.clone(),
        },
        source::Effect::Enter(enter) => Effect::Enter {
            directory: enter.directory.clone(),
        },
        source::Effect::Stack(stack) => Effect::Stack { with: stack.with },
        source::Effect::Portal(source::Portal {}) => Effect::Portal,
        source::Effect::Admit(admit) => Effect::Admit {
            program: admit.program.clone(),
        },
        source::Effect::Bus(bus) => Effect::Bus {
            address: bus.address.clone(),
            target: bus.target.clone(),
            talk: bus.talk.clone(),
            own: bus.own.clone(),
        },
        source::Effect::ForEach(each) => Effect::ForEach {
            effects: effects(&each.effects),
        },
        source::Effect::When(when) => Effect::When {
            conditions: conditions(when),
            effects: effects(&when.effects),
        },
    }
}

/// `ro`, `rw`, `dev` or the placeholder of a field; `None` for anything else.
pub(crate) fn access(text: &str) -> Option<Access> {
    match text {
        "ro" => Some(Access::Ro),
        "rw" => Some(Access::Rw),
        "dev" => Some(Access::Dev),
        _ => {
            let field = text.strip_prefix('{')?.strip_suffix('}')?;
            Name::new(field).map(Access::Field)
        }
    }
}

fn conditions(when: &source::When) -> Vec<Condition> {
    let env = when.env.clone().map(Condition::Env);
    let exists = when.exists.clone().map(Condition::Exists);
    let root = when.root.map(Condition::Root);
    let privileged = when.privileged.map(Condition::Privileged);
    let is = when.is.clone().map(Condition::Is);
    [env, exists, root, privileged, is]
        .into_iter()
        .flatten()
        .collect()
}

fn action(action: &source::Action) -> Action {
    let verbs = action.verbs.iter().map(|verb| ActionVerb {
        name: name(&verb.name),
        summary: verb.summary.clone(),
        arguments: arguments(&verb.arguments),
    });
    Action {
        name: name(&action.name),
        summary: action.summary.clone(),
        docs: action.docs.clone(),
        shape: if action.verbs.is_empty() {
            Shape::Arguments(arguments(&action.arguments))
        } else {
            Shape::Verbs(verbs.collect())
        },
    }
}

fn arguments(arguments: &[source::Argument]) -> Vec<Argument> {
    let each = arguments.iter().map(|argument| Argument {
        name: name(&argument.name),
        kind: argument.kind,
        optional: argument.optional,
        summary: argument.summary.clone(),
    });
    each.collect()
}
