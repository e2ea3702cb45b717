//! How long tract takes for a turn of a pulsed model, with nothing around it: what the benchmarks
//! hold our streams against.
//!
//! `pulse_loop ARCHIVE TURNS` loads a pulsed `.nnef.tar`, sets every symbol to 1 and answers each
//! line that it reads with the seconds of one turn, as the mean of so many.

use std::collections::HashMap;
use std::io::{BufRead, stdin};
use std::time::Instant;

use anyhow::Context;
use tract_core::prelude::{IntoTValue, SymbolValues, TDim, TValue, TVec, Tensor, TypedSimplePlan};
use tract_nnef::internal::Framework;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let path = args.next().context("an archive")?;
    let turns: u32 = args.next().context("a number of turns")?.parse()?;
    let nnef = tract_nnef::nnef().with_tract_core();
    let mut nnef = nnef;
    nnef.registries.push(tract_pulse_opl::tract_nnef_registry());
    let model = nnef.model_for_path(path)?;
    let ones = model.symbols.all_symbols().into_iter().map(|symbol| (symbol, TDim::Val(1)));
    let model = model.set_symbols(&ones.collect::<HashMap<_, _>>())?.into_optimized()?;
    let inputs = model.input_outlets()?.iter().map(|outlet| {
        let fact = model.outlet_fact(*outlet)?;
        let shape = fact.shape.eval_to_usize(&SymbolValues::default())?;
        Ok(Tensor::zero_dt(fact.datum_type, &shape)?.into_tvalue())
    });
    let inputs = inputs.collect::<anyhow::Result<TVec<TValue>>>()?;
    let mut state = TypedSimplePlan::new(model)?.spawn()?;
    for line in stdin().lock().lines() {
        line?;
        let started = Instant::now();
        for _ in 0..turns {
            state.run(inputs.clone())?;
        }
        println!("{}", started.elapsed().as_secs_f64() / f64::from(turns));
    }
    Ok(())
}
