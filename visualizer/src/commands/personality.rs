//! The option of commands that open a NIC: whose choices it makes.

use ferroce::Personality;

#[derive(Debug, clap::Args)]
pub(crate) struct PersonalityArgs {
    /// Have the NIC make the choices of another one; 'ferroce devices' lists them
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = named)]
    pub(crate) personality: Personality,
}

fn named(name: &str) -> Result<Personality, String> {
    Personality::by_name(name).ok_or_else(|| {
        let names: Vec<_> = Personality::all().iter().map(|personality| personality.name).collect();
        format!("the names are {}", names.join(", "))
    })
}
