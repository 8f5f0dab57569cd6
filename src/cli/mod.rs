//! The command line. Exit codes: 0 fine, 1 the user's mistake, 2 could not run.

mod client;
mod demo;
mod init;
mod serve;

use crate::config::{self, Faults};
use crate::tls::Certificates;
use clap::{Parser, Subcommand};
use engine::Clock;
use std::collections::HashMap;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Incremental Static Regeneration for any origin renderer.
#[derive(Debug, Parser)]
#[command(name = "larder", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run: with a configuration file, or with an origin and nothing else.
    Serve(ServeArgs),
    /// The whole story in one process: a slow origin, Larder in front, a status page.
    Demo {
        /// Larder's port; the admin address takes the next one, the origin the one after.
        #[arg(long, default_value_t = 8080)]
        port: u16,
    },
    /// Read a configuration and report every fault in it.
    Check {
        file: PathBuf,
        #[arg(long, hide = true)]
        diff: Option<String>,
    },
    /// Write a configuration from what is known of an application.
    Init(InitArgs),
    /// Print the configuration's JSON Schema.
    Schema,
    /// Make stored pages stale, so that the next visit regenerates them.
    Revalidate(client::RevalidateArgs),
    /// Generate pages before anybody asks for them.
    Warm(client::WarmArgs),
    /// List what is stored.
    Entries(client::EntriesArgs),
    /// Say what a visit to a URL would get now, and why.
    Explain(client::ExplainArgs),
    /// Write all that is stored into a file; one that broke off is gone on with.
    Export(client::ExportArgs),
    /// Store what another Larder exported.
    Import(client::ImportArgs),
    /// List the good versions of a page that are kept, or serve an older one again.
    Versions(client::VersionsArgs),
    /// List deployments, or serve another one.
    Deployments(client::DeploymentsArgs),
    #[command(external_subcommand)]
    Other(Vec<String>),
}

#[derive(Debug, clap::Args)]
struct ServeArgs {
    /// The configuration (YAML).
    #[arg(long, conflicts_with_all = ["origin", "listen", "admin"], required_unless_present = "origin")]
    config: Option<PathBuf>,
    /// The origin's URL, instead of a configuration.
    #[arg(long)]
    origin: Option<String>,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: String,
    /// Where the status page and the metrics are.
    #[arg(long)]
    admin: Option<String>,
    #[arg(long, hide = true)]
    upgrade: bool,
}

#[derive(Debug, clap::Args)]
struct InitArgs {
    /// The folder of a Next.js application that is built, or its `.next`.
    #[arg(long, value_name = "DIR")]
    next: PathBuf,
    /// Where `next start` answers.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3000")]
    origin: String,
    /// Where Larder is to listen.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: String,
    /// A file that is not there yet; else the configuration is printed.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Commands of the interface that are not built yet.
const PLANNED: [&str; 4] = ["fleet", "advise", "doctor", "top"];

const MISTAKE: u8 = 1;
const CANNOT_RUN: u8 = 2;

pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // The reader may have closed the pipe; there is nobody else to tell.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(MISTAKE) } else { ExitCode::SUCCESS };
        }
    };
    match cli.command {
        Command::Serve(args) => serve(&args),
        Command::Demo { port } => demo::run(port),
        Command::Check { diff: Some(_), .. } => not_available("check --diff"),
        Command::Check { file, diff: None } => check(&file),
        Command::Schema => {
            println!("{}", config::schema());
            ExitCode::SUCCESS
        }
        Command::Init(args) => init(&args),
        Command::Revalidate(args) => args.run(),
        Command::Warm(args) => args.run(),
        Command::Entries(args) => args.run(),
        Command::Explain(args) => args.run(),
        Command::Export(args) => args.run(),
        Command::Import(args) => args.run(),
        Command::Versions(args) => args.run(),
        Command::Deployments(args) => args.run(),
        Command::Other(words) => {
            let name = words.first().map_or("", String::as_str);
            if PLANNED.contains(&name) {
                return not_available(name);
            }
            mistake(&format!("there is no command `{name}`; `larder --help` lists them"))
        }
    }
}

fn serve(args: &ServeArgs) -> ExitCode {
    if args.upgrade {
        return not_available("serve --upgrade");
    }
    let loaded = match (&args.config, &args.origin) {
        (Some(file), _) => config::load(file),
        (None, Some(origin)) => config::zero(origin, &args.listen, args.admin.as_deref()),
        (None, None) => return mistake("`larder serve` needs --config FILE or --origin URL"),
    };
    match loaded {
        Ok(config) => serve::run(config, args.config.as_deref()),
        Err(faults) => report(&faults),
    }
}

fn init(args: &InitArgs) -> ExitCode {
    let build = match init::read(&args.next) {
        Ok(build) => build,
        Err(error) => return mistake(&error.to_string()),
    };
    let yaml = init::yaml(&build, &init::Options { origin: args.origin.clone(), listen: args.listen.clone() });
    // What is written here must be fine: an origin or an address that is none is told of now.
    if let Err(faults) = config::parse(&yaml, "the new configuration", &HashMap::new()) {
        return report(&faults);
    }
    let Some(file) = &args.output else {
        print!("{yaml}");
        return ExitCode::SUCCESS;
    };
    let written = std::fs::File::create_new(file).and_then(|mut new| new.write_all(yaml.as_bytes()));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            mistake(&format!("{} is there already: remove it, or name another file", file.display()))
        }
        Err(error) => cannot_run(&format!("{} cannot be written: {error}", file.display())),
    }
}

fn check(file: &std::path::Path) -> ExitCode {
    match config::load(file) {
        Ok(config) => {
            let now = Clock::system().now();
            for tls in config.listeners.iter().filter_map(|listener| listener.tls.as_ref()) {
                if let Err(error) = Certificates::read(tls, now) {
                    return mistake(&format!("{}: {error}", file.display()));
                }
            }
            let (routes, origins) = (config.routes.len(), config.origins.len());
            println!("{}: fine ({routes} routes, {origins} origins)", file.display());
            ExitCode::SUCCESS
        }
        Err(faults) => report(&faults),
    }
}

fn report(faults: &Faults) -> ExitCode {
    eprint!("{faults}");
    ExitCode::from(MISTAKE)
}

fn not_available(what: &str) -> ExitCode {
    mistake(&format!("`larder {what}` is not available in this version"))
}

fn mistake(what: &str) -> ExitCode {
    eprintln!("larder: {what}");
    ExitCode::from(MISTAKE)
}

/// Could not run: a port is taken, a runtime cannot be built.
fn cannot_run(what: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("larder: {what}");
    ExitCode::from(CANNOT_RUN)
}
