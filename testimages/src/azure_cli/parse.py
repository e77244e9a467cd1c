# Reads az command lines from standard input, one a line, and tells of each whether az's own parser takes it.
# Nothing is run, and nobody is asked.
import contextlib
import io
import shlex
import sys

from azure.cli.core import get_default_cli

cli = get_default_cli()


def judge(line):
    words = shlex.split(line)[1:]
    invoker = cli.invocation_cls(
        cli_ctx=cli,
        parser_cls=cli.parser_cls,
        commands_loader_cls=cli.commands_loader_cls,
        help_cls=cli.help_cls,
    )
    cli.invocation = invoker
    invoker.data["command_string"] = " ".join(words)
    loader = invoker.commands_loader
    loader.load_command_table(words)
    names = [" ".join(words[:count]) for count in range(6, 0, -1)]
    name = next((name for name in names if name in loader.command_table), None)
    if name is None:
        return "no such command"
    loader.command_table = {name: loader.command_table[name]}
    loader.command_name = name
    loader.load_arguments(name)
    invoker.parser.cli_ctx = cli
    invoker.parser.load_command_table(loader)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            invoker.parser.parse_args(words)
    except SystemExit:
        return said.getvalue().strip().splitlines()[-1]
    return "ok"


for line in sys.stdin:
    print(judge(line), flush=True)
