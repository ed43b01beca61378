"""What a client asks for that concerns exchanges, queues and bindings."""

from pamqp.base import Frame
from pamqp.commands import Exchange, Queue

from tools.lab.simulation.amqp import topology
from tools.lab.simulation.amqp.broker import Broker
from tools.lab.simulation.amqp.frames import NotModelled, precondition_failed, refused
from tools.lab.simulation.amqp.queues import Options


def answer(broker: Broker, connection: object, frame: Frame) -> Frame:
    """Do it, and return the reply. Raises `ChannelFailed`."""
    match frame:
        case Exchange.Declare():
            return _declare_exchange(broker, frame)
        case Exchange.Delete():
            return _delete_exchange(broker, frame)
        case Queue.Declare():
            return _declare_queue(broker, connection, frame)
        case Queue.Delete():
            return _delete_queue(broker, connection, frame)
        case Queue.Bind():
            broker.bind(frame.exchange, frame.queue, frame.routing_key, connection)
            return Queue.BindOk()
        case Queue.Unbind():
            broker.topology.unbind((frame.exchange, frame.queue, frame.routing_key))
            return Queue.UnbindOk()
        case Queue.Purge():
            return Queue.PurgeOk(broker.topology.queue(frame.queue, connection).purge(broker.now))
    raise NotModelled(f"method {frame.name}")


def _declare_exchange(broker: Broker, frame: Exchange.Declare) -> Exchange.DeclareOk:
    if frame.passive:
        broker.topology.exchange(frame.exchange)
    elif frame.arguments:
        raise NotModelled(f"arguments {frame.arguments!r} of exchanges")
    else:
        broker.topology.declare_exchange(
            topology.Exchange(frame.exchange, frame.exchange_type, frame.durable, frame.auto_delete, frame.internal)
        )
    return Exchange.DeclareOk()


def _delete_exchange(broker: Broker, frame: Exchange.Delete) -> Exchange.DeleteOk:
    if frame.if_unused and any(source == frame.exchange for source, _, _ in broker.topology.bindings):
        raise precondition_failed(f"exchange '{frame.exchange}' in vhost '/' in use")
    broker.topology.delete_exchange(frame.exchange)
    return Exchange.DeleteOk()


def _declare_queue(broker: Broker, connection: object, frame: Queue.Declare) -> Queue.DeclareOk:
    if frame.passive:
        queue = broker.topology.queue(frame.queue, connection)
    elif frame.queue.startswith("amq."):
        raise refused(f"queue name '{frame.queue}' contains reserved prefix 'amq.*'")
    else:
        options = Options(frame.durable, frame.exclusive, frame.auto_delete, dict(frame.arguments or {}))
        queue = broker.declare_queue(frame.queue, options, connection)
    return Queue.DeclareOk(queue.name, len(queue), queue.consumer_count)


def _delete_queue(broker: Broker, connection: object, frame: Queue.Delete) -> Queue.DeleteOk:
    if frame.queue not in broker.topology.queues:
        return Queue.DeleteOk(0)
    queue = broker.topology.queue(frame.queue, connection)
    broker.check_unused(queue, if_unused=frame.if_unused, if_empty=frame.if_empty)
    return Queue.DeleteOk(broker.delete_queue(frame.queue))
