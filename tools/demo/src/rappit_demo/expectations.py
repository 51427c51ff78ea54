"""What the story expects, what happened, and the table of both."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    what: str
    answer: str
    outcome: str
    stock: str
    more: str
    problems: tuple[str, ...]


@dataclass(slots=True)
class Story:
    """Collects rows and every difference from what is expected."""

    console: Console
    rows: list[Row] = field(default_factory=list[Row])

    def step(self, text: str) -> None:
        """Say what is being done."""
        self.console.print(f"[bold cyan]▸[/] {text}")

    def note(self, text: str) -> None:
        """Say a detail of the step."""
        self.console.print(f"  [dim]{text}[/]")

    def record(
        self,
        what: str,
        *,
        answer: str = "",
        outcome: str = "",
        stock: str = "",
        more: str = "",
        expect: Sequence[tuple[str, object, object]] = (),
    ) -> None:
        """Add a row.

        Args:
            what: What was done.
            answer: What the API answered.
            outcome: What became of it.
            stock: Stock before and after.
            more: Where to look further.
            expect: ``(name, expected, actual)`` for everything that must be so.
        """
        problems = tuple(
            f"{name}: expected {expected!r}, got {actual!r}" for name, expected, actual in expect if expected != actual
        )
        self.rows.append(Row(what, answer, outcome, stock, more, problems))
        mark = "[red]✗[/]" if problems else "[green]✓[/]"
        self.console.print(f"  {mark} {what}: {answer} {outcome}".rstrip())
        for problem in problems:
            self.console.print(f"    [red]{problem}[/]")

    @property
    def differences(self) -> int:
        """How many rows were not as expected."""
        return sum(1 for row in self.rows if row.problems)

    def table(self) -> Table:
        """Return what happened to each."""
        table = Table(title="What happened to each", show_lines=True, title_style="bold")
        for heading, ratio in (("", 1), ("what", 12), ("answer", 9), ("outcome", 12), ("stock", 10), ("more", 12)):
            table.add_column(heading, ratio=ratio, overflow="fold")
        for row in self.rows:
            mark = "[red]✗[/]" if row.problems else "[green]✓[/]"
            outcome = row.outcome + "".join(f"\n[red]{problem}[/]" for problem in row.problems)
            table.add_row(mark, row.what, row.answer, outcome, row.stock, row.more)
        return table
