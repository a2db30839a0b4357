"""What one node decides: values in, effects out. No I/O, no clock, no thread.

A map for newcomers. Everything comes in and goes out through `node`, which names all parts and joins
them; `parts` is what they may ask of each other, `state` what all of them know. An event or a result is
handed to one method by its type, `tick` does what is due, and both leave effects behind that the hands
carry out. Then, by what it is about:

From a file to a revision and back: `observing` (the trees, with `treeview`, `treeholds`), `declaring`
with `lasting` (edits become a revision), `planning`, `job`, `advancing` with `gathering` (from one
revision to the next), `restoring` (drift is put back), `undelivered` (what only a deposed manager
has), `leftout` (what a proposal goes on without), `twins` (two of one name).

The cluster: `connecting` (who is dialled), `talking` (who says what), `electing` with `campaigning`,
`candidacy` and `succeeding` (who leads), `handing` and `pausing` (what people do to that), `leading` with
`meeting` and `lately` (the manager), `working` with `proposing` (a worker), `hearsay` (what others say,
in the shape that is read here), `collecting` (what all have kept, in one list).

The local runtime, in the order in which an answer is reached:

    readiness   what the process does: may it be written to, can it answer
    outcomes    what is known of each artifact, what is waited for; kept and counted
    owing       what came and went: who owes an answer for it
    naming      whose a saying is
    hearing     each saying: whether it is about the bytes there now, and what follows
    unseen      refusals that wait for a look at the file
    saving      what the runtime saved itself: its console, a Publisher
    loading     what was taken up without a word, at a start or with a tenant
    restores    what the runtime writes into the trees itself: nobody's change
    dying       which artifact its deployer died of
    deadlines   what was not answered for in time: asked, touched, given up
    deploying   all of these as one, for the rest of the node
    deployed    how it is told: in a row, to the manager, of one artifact
    gate        `/readyz`: shut while the gateway comes up

What follows from it: `trying` with `refusals` (a change is on trial; a refusal stops its group), `patience`
and `stalling` (how long the rest waits, and a rollout that waits in vain), `exempting` (what rightly differs: withheld, rejected, undeployed),
`directing` and `runtimes` (by hand, and whether all have answered).

People: `answering` (every request), `asking` (of other nodes), `waiting` with `rounds` (until it is so),
`deciding` (approve, reject), `describing`, `reporting`, `leadership` and `rows` (what is shown), `reloading`
(settings), `housekeeping` (notes, alarms that end).

Whoever reads the code begins with `node`, `state`, `observing`, `declaring`, `advancing`, `leading` and
`working`; of the runtime with `deploying`, `outcomes`, `hearing` and `trying`.
"""
