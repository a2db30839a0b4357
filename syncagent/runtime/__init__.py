"""The local runtime: how it is told what was committed, and how its answer is read.

Theory of operation. The node decides (`agent/node/deploying.py`); here is only the ear, and for programs
the mouth. An adapter is one file that implements `ports.Runtime`: it says what it is (`about`), is started
with the mark that was remembered last, and posts two kinds of events from a thread of its own:

- `RuntimeTurned`: the runtime came, went, got ready, or lost its deployer; once at the start
- `RuntimeHeard`: what it said of artifacts, in its order, with the mark from which to go on

What an adapter does not understand it leaves out. Silence is never an answer: the node waits until its
deadline and then calls the artifact `Unknown`.

| adapter | is told by | answers by |
| --- | --- | --- |
| `synapse` | the file itself, its mtime rising | its log |
| `carbon` | the file itself, its mtime rising | its log |
| `command` | a program's standard input | the program's exit code and output |
| `none` | nothing | nothing |

**A further adapter is one more file**, plus a line in `choose`. One that asks (Carbon's admin services, the
gateway's REST API, the Micro Integrator's management API) deploys in `tell`, asks for what was not heard
of in `verify`, and posts the answers as `Heard`; its mark may be the empty text. One that mixes both
(files and log to deploy, an API to verify) holds a `listening.LogRuntime` and adds `verify`. An adapter
whose runtime reads the files itself leaves `tell` empty. `about.shy` asks the node to hold commits back
between a runtime's start and ready; `about.scan_s` and `about.pause_s` make the deadline.

Listening to a log is layered, each layer with its own theory in its module:

    place      where reading stopped, as text that survives everything
    family     a log and its rotated siblings, oldest first
    opened     one of them, open: as it is, or through gzip
    finder     which of them holds a place
    follow     whole lines, each once, through every rotation
    begin      the runtime's last start, for who comes without a mark
    entries    lines to entries: heads by layout, stack traces to the entry they belong to
    patterns   what each product's messages mean: data
    names      the runtime's names of files and artifacts to paths in trees
    failures   several entries that are one failure, and the reason in it
    reader     all of that: bytes in, `Heard` and turns out
    presence   the runtime's process, found by its home
    console    its standard error, if that is a file: what its deployer died of
    phase      what it is doing, from process and log: a table
    listening  the thread, and what is posted when

**At least once.** Sayings that were posted after the last remembered mark are posted again after a crash of
the agent, in the same order; no saying is lost while its log file exists. Sayings are therefore made so
that hearing one twice in order changes nothing.

**A dead deployer.** Apache Synapse catches refused updates of proxies, executors and imports only; all others
end the thread of hot deployment for good. The end is seen in two places. Where standard error is a file,
`console` reads it there within two seconds, with the kind of the artifact: it is told as a rejection of
that kind without a name, right before `STUCK`. The log of that thread ends in an error that names no
file: `reader` takes that for the end after three seconds without another word of the thread. A death that
leaves a word in neither place shows as silence: the node suspects it when a touch stays unanswered on a
runtime of kind `synapse`.
"""
