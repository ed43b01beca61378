"""Control of a RabbitMQ through rabbitmqctl, wherever that runs."""

import re
from typing import Protocol

# One call for everything, because each rabbitmqctl may start its own Erlang. 4.1 renamed the second function.
_DELETE_QUEUES = """
[rabbit_amqqueue:delete(Queue, false, false, <<"tests">>) || Queue <- rabbit_amqqueue:list(<<"/">>)]
"""
_DELETE_EXCHANGES = """
Old = erlang:function_exported(rabbit_exchange, delete, 3),
Delete = case Old of true -> delete; false -> ensure_deleted end,
[rabbit_exchange:Delete(element(2, Exchange), false, <<"tests">>)
 || Exchange <- rabbit_exchange:list(<<"/">>), Name <- [element(4, element(2, Exchange))],
    Name =/= <<>>, binary:match(Name, <<"amq.">>) =/= {0, 4}].
"""
_MESSAGES = """
[lists:flatten(io_lib:format("~s ~b", [element(4, Name), Messages]))
 || [{name, Name}, {messages, Messages}] <- rabbit_amqqueue:info_all(<<"/">>, [name, messages])].
"""
_CONNECTIONS = "rabbit_networking:connections()"


class _Ctl(Protocol):
    def rabbitmqctl(self, *arguments: str) -> str: ...


class RabbitControl:
    """A mixin for a backend that has `rabbitmqctl`."""

    def connections(self: _Ctl) -> list[str]:
        return re.findall(r"<[\d.]+>", self.rabbitmqctl("eval", f"[pid_to_list(Pid) || Pid <- {_CONNECTIONS}]."))

    def close_connections(self: _Ctl, reason: str = "closed by a test") -> None:
        self.rabbitmqctl("eval", f'rabbit_networking:close_connections({_CONNECTIONS}, <<"{reason}">>).')

    def messages(self: _Ctl) -> dict[str, int]:
        """Return the number of messages in each queue, ready or delivered."""
        return {name: int(count) for name, count in re.findall(r'"(\S+) (\d+)"', self.rabbitmqctl("eval", _MESSAGES))}

    def delete_queues(self: _Ctl) -> None:
        self.rabbitmqctl("eval", f"{_DELETE_QUEUES}.")

    def reset(self: _Ctl) -> None:
        self.rabbitmqctl("eval", f"{_DELETE_QUEUES}, {_DELETE_EXCHANGES}")
