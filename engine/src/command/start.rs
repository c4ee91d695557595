//! A start of the container: gathers what the plan needs, plans, runs.

use std::ffi::OsString;
use std::path::PathBuf;

use flatimage_reserved::declared::{self, Config, Hints, Sandbox};
use flatimage_reserved::{RegionDecl, StoreError, Value, VariableError, variable};

use super::{Session, warn};
use crate::data::{self, DataError};
use crate::image::{external_layers, with_entries};
use crate::marker;
use crate::plan::{self, IdMap, LayerSource, Plan, PlanError, Request, Upper};
use crate::private;
use crate::relocate;
use crate::sandbox::{self, Context, Explicit, Failure, Limits, plain};
use crate::tools::Apart;
use crate::trace::trace;

impl From<DataError> for Failure {
    fn from(error: DataError) -> Failure {
        Failure::ours(error.to_string())
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Failure {
        Failure::ours(error.to_string())
    }
}

impl From<VariableError> for Failure {
    fn from(error: VariableError) -> Failure {
        Failure::ours(error.to_string())
    }
}

/// The settings of a start, in the order of the declaration.
struct Settings {
    values: Vec<(&'static RegionDecl, Value)>,
    config: Config,
    /// Those that a variable sets for this start alone.
    chosen: Vec<&'static RegionDecl>,
}

impl Session {
    /// Runs the boot command with `arguments` appended, or an interactive shell.
    pub(super) fn boot(&self, arguments: &[OsString]) -> Result<u8, Failure> {
        let settings = self.settings()?;
        let command = boot_command(&settings.config, arguments);
        self.start_with(settings, command, false)
    }

    /// Runs `command`; as root when that is asked for by the command or by `FIM_ROOT`.
    pub(super) fn start(&self, command: Vec<OsString>, as_root: bool) -> Result<u8, Failure> {
        self.start_with(self.settings()?, command, as_root)
    }

    /// The plan of a start of `command`, or of the boot command when it is empty.
    pub(super) fn planned(&self, command: Vec<OsString>) -> Result<Plan, Failure> {
        let settings = self.settings()?;
        let sandboxed = Sandbox::chosen(|name| self.host.environment.get(name).cloned())?;
        let command = match command.as_slice() {
            [] => boot_command(&settings.config, &[]),
            _ => command,
        };
        let data = self.data_path();
        let upper = Upper::Directory(data.clone());
        let plan = self.plan_of(&settings, upper, command, false)?;
        sandbox::examine(&plan, sandboxed, (&self.image.path, &data))
    }

    fn start_with(
        &self,
        settings: Settings,
        command: Vec<OsString>,
        as_root: bool,
    ) -> Result<u8, Failure> {
        let limits = Limits {
            blocks: self.bytes("FIM_BLOCK_CACHE")?,
            unpacked: self.bytes("FIM_CACHE_SIZE")?,
        };
        let sandboxed = Sandbox::chosen(|name| self.host.environment.get(name).cloned())?;
        self.integrate(&settings.config);
        let map = IdMap::of(&settings.values, &self.host)?;
        let (data, upper) = self.open_data(&map)?;
        let plan = self.plan_of(&settings, upper, command, as_root)?;
        if let Some(instead) = plan.stack().and_then(|stack| stack.instead.as_ref()) {
            warn(instead);
        }
        if settings.config.notify {
            self.announce();
        }
        trace(|| "planned".into());
        trace(|| format!("the plan:\n{plan}"));
        let context = Context {
            host: &self.host,
            image: self.file()?,
            image_path: &self.image.path,
            sandbox: sandboxed,
            tools_offset: self.placement.tools_offset,
            servers: &|| self.apart(Apart::Servers),
            data: data.as_ref(),
            explicit: Explicit {
                layers: self.host.environment.contains_key("FIM_LAYERS"),
                casefold: settings.chosen.iter().any(|region| region.folds()),
                overlay: settings.chosen.iter().any(|region| region.stacks()),
            },
            limits,
            warn: &warn,
        };
        sandbox::start(&plan, context)
    }

    /// The directory with tools that the container has nothing of.
    pub(super) fn apart(&self, what: Apart) -> Option<PathBuf> {
        relocate::apart(&self.host, &self.image.path, &self.placement, what)
    }

    /// The number of bytes that a variable of the caller's is.
    fn bytes(&self, variable: &str) -> Result<Option<u64>, Failure> {
        let given = self.host.environment.get(variable);
        let parse = |text: &String| {
            let wrong = || format!("{variable} is `{text}`; give a number of bytes, in digits");
            text.parse().map_err(|_| Failure::ours(wrong()))
        };
        given.map(parse).transpose()
    }

    fn open_data(&self, map: &IdMap) -> Result<(Option<data::Directory>, Upper), Failure> {
        let location = self.location();
        let opened = match location.prepare() {
            true => data::open(&location.path, Some(map))?,
            false => None,
        };
        let data = location.path;
        Ok(match opened {
            Some(directory) => {
                if let Err(error) = directory.settle() {
                    warn(&error.to_string());
                }
                (Some(directory), Upper::Directory(data))
            }
            None => {
                warn(&format!(
                    "changes are lost at the end: {} cannot be created; choose another data \
                     directory with FIM_DIR_DATA",
                    data.display()
                ));
                (None, Upper::Memory)
            }
        })
    }

    fn plan_of(
        &self,
        settings: &Settings,
        upper: Upper,
        command: Vec<OsString>,
        as_root: bool,
    ) -> Result<Plan, Failure> {
        let data = self.data_path();
        let mut layers = self.embedded_layers(&settings.config)?;
        layers.extend(external_layers(&self.host, &data, &warn));
        let forced = self
            .host
            .environment
            .get("FIM_ROOT")
            .is_some_and(|value| value == "1");
        let (tools, program) = relocate::kept(&self.host, &self.image.path, &self.placement)
            .map_err(|error| Failure::ours(plain(&error)))?;
        let hints = Hints::chosen(|name| self.host.environment.get(name).cloned())?;
        let request = Request {
            hints: hints == Hints::On,
            tools,
            program,
            programs: marker::origin().servers.clone(),
            image: self.image.clone(),
            private: private::directories(|name| self.host.variable(name)),
            data,
            upper,
            layers: with_entries(layers),
            command,
            as_root: as_root || forced,
            pid: std::process::id(),
        };
        Ok(plan::build(&settings.values, &self.host, &request)?)
    }

    pub(super) fn embedded_layers(&self, config: &Config) -> Result<Vec<LayerSource>, Failure> {
        let (count, end) = config
            .layers
            .as_ref()
            .map_or((0, 0), |layers| (layers.count, layers.end));
        self.image.layers(count, end).map_err(|error| {
            let (path, reason) = (self.image.path.display(), plain(&error));
            Failure::ours(format!(
                "`{path}` is damaged: {reason}; copy the image anew"
            ))
        })
    }

    /// The settings. A damaged one is replaced by its default, which grants nothing, and
    /// named; without knowing the layers there is nothing to start. What a variable of a setting says counts instead.
    fn settings(&self) -> Result<Settings, Failure> {
        self.store.value(declared::LAYERS).map_err(unstartable)?;
        let (mut values, damage) = self.store.salvage()?;
        for error in &damage {
            warn(&error.to_string());
        }
        let mut chosen = Vec::new();
        for (region, stored) in declared::REGIONS.iter().zip(&mut values) {
            let variable = |name: &str| self.host.environment.get(name).cloned();
            if let Some(value) = variable::value(region, variable)? {
                *stored = value;
                chosen.push(region);
            }
        }
        let config = Config::of(&values)
            .ok_or_else(|| Failure::ours("the settings do not fit their declaration"))?;
        Ok(Settings {
            values: declared::REGIONS.iter().zip(values).collect(),
            config,
            chosen,
        })
    }
}

/// Without its layers an image would start with an empty root, and a program would change the wrong one.
fn unstartable(error: StoreError) -> Failure {
    match error {
        StoreError::Damaged { offset, region } | StoreError::Undecodable { offset, region, .. } => {
            Failure::ours(format!(
                "the list of layers at byte {offset} of the image is damaged and nothing is started; \
                 `fim-reset {region}` makes it anew from the layers that are there"
            ))
        }
        other => other.into(),
    }
}

fn boot_command(config: &Config, arguments: &[OsString]) -> Vec<OsString> {
    let stored = config.boot.iter().flat_map(|boot| {
        std::iter::once(OsString::from(&boot.program)).chain(boot.args.iter().map(OsString::from))
    });
    let mut command: Vec<OsString> = stored.collect();
    if command.is_empty() {
        command.push("bash".into());
    }
    command.extend_from_slice(arguments);
    command
}
