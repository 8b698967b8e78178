//! Which of the person's projects, where a sign-in brings several.

use serde_json::Value;

use crate::commands::App;
use crate::commands::login::Login;
use crate::commands::login::outcome::tell;
use crate::error::{Error, Result};
use crate::flows::keep::{self, SignedIn};
use crate::term::{self, prompt};
use crate::text;

/// Asks at a terminal; the login is on disk already, and stays whatever the answer is.
pub fn choose_and_tell(mut signed_in: SignedIn, args: &Login, app: &App) -> Result<()> {
    let projects = signed_in.account.extra.get("projects").and_then(Value::as_array);
    let projects: Vec<String> = projects
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    let mut trouble = None;
    match chosen(&projects, &signed_in, args) {
        Ok(Some(project)) => keep::set_fact(&mut signed_in, "project", &project, &app.store)?,
        Ok(None) => {}
        Err(error) => trouble = Some(error),
    }
    tell(&signed_in, args)?;
    trouble.map_or(Ok(()), Err)
}

fn chosen(projects: &[String], signed_in: &SignedIn, args: &Login) -> Result<Option<String>> {
    let id = &signed_in.account.id;
    if projects.is_empty() {
        return Ok(None);
    }
    if let Some(wanted) = &args.project {
        if projects.contains(wanted) {
            return Ok(Some(wanted.clone()));
        }
        let what = format!("no project is called so; yours are {}", text::list(projects));
        let next = format!("{} --project {}", id.login_command(), text::shell_word(&projects[0]));
        return Err(Error::failed(what).or_try(next));
    }
    let current = signed_in.account.fact("project");
    if projects.len() == 1 || current.is_some_and(|name| projects.iter().any(|one| one == name)) {
        return Ok(Some(current.unwrap_or(&projects[0]).to_owned()));
    }
    if !prompt::is_possible(args.no_input) {
        let next = format!("{} --project NAME", id.login_command());
        term::warn(&format!("several projects: {}; choose one with {next}", text::list(projects)));
        return Ok(None);
    }
    let at = prompt::choose("project", projects)?;
    Ok(Some(projects[at].clone()))
}
