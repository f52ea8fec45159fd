from google.protobuf import duration_pb2 as _duration_pb2
from . import attach_pb2 as _attach_pb2
from . import message_pb2 as _message_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
FLAG_ALL_OR_FAIL: Flag
FLAG_ALL_OR_WAIT: Flag
FLAG_UNSPECIFIED: Flag
FLAG_URGENT: Flag
OUTCOME_ANSWERED: Outcome
OUTCOME_EXPIRED: Outcome
OUTCOME_MAY_HAVE_RUN: Outcome
OUTCOME_NEVER_RAN: Outcome
OUTCOME_UNSPECIFIED: Outcome

class Binding(_message.Message):
    __slots__ = ["is_replier", "ksock", "name"]
    IS_REPLIER_FIELD_NUMBER: _ClassVar[int]
    KSOCK_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    is_replier: bool
    ksock: int
    name: str
    def __init__(self, ksock: _Optional[int] = ..., is_replier: bool = ..., name: _Optional[str] = ...) -> None: ...

class CallRequest(_message.Message):
    __slots__ = ["data", "data_text", "final_to_local", "final_to_network", "flags", "name", "to", "user_flags"]
    DATA_FIELD_NUMBER: _ClassVar[int]
    DATA_TEXT_FIELD_NUMBER: _ClassVar[int]
    FINAL_TO_LOCAL_FIELD_NUMBER: _ClassVar[int]
    FINAL_TO_NETWORK_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    USER_FLAGS_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    data_text: str
    final_to_local: int
    final_to_network: int
    flags: _containers.RepeatedScalarFieldContainer[Flag]
    name: str
    to: int
    user_flags: int
    def __init__(self, name: _Optional[str] = ..., data: _Optional[bytes] = ..., data_text: _Optional[str] = ..., flags: _Optional[_Iterable[_Union[Flag, str]]] = ..., to: _Optional[int] = ..., final_to_network: _Optional[int] = ..., final_to_local: _Optional[int] = ..., user_flags: _Optional[int] = ...) -> None: ...

class CallResponse(_message.Message):
    __slots__ = ["elapsed", "outcome", "reason", "reply"]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    elapsed: _duration_pb2.Duration
    outcome: Outcome
    reason: str
    reply: _message_pb2.Message
    def __init__(self, reply: _Optional[_Union[_message_pb2.Message, _Mapping]] = ..., elapsed: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class FindReplierRequest(_message.Message):
    __slots__ = ["name"]
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class FindReplierResponse(_message.Message):
    __slots__ = ["binding", "found", "ksock"]
    BINDING_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    KSOCK_FIELD_NUMBER: _ClassVar[int]
    binding: str
    found: bool
    ksock: int
    def __init__(self, found: bool = ..., ksock: _Optional[int] = ..., binding: _Optional[str] = ...) -> None: ...

class ListBindingsRequest(_message.Message):
    __slots__ = ["page_size", "page_token"]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListBindingsResponse(_message.Message):
    __slots__ = ["bindings", "next_page_token"]
    BINDINGS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    bindings: _containers.RepeatedCompositeFieldContainer[Binding]
    next_page_token: str
    def __init__(self, bindings: _Optional[_Iterable[_Union[Binding, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListenRequest(_message.Message):
    __slots__ = ["max_messages", "names", "only_once"]
    MAX_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    ONLY_ONCE_FIELD_NUMBER: _ClassVar[int]
    max_messages: int
    names: _containers.RepeatedScalarFieldContainer[str]
    only_once: bool
    def __init__(self, names: _Optional[_Iterable[str]] = ..., max_messages: _Optional[int] = ..., only_once: bool = ...) -> None: ...

class ListenResponse(_message.Message):
    __slots__ = ["ksock", "message", "missed"]
    KSOCK_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    MISSED_FIELD_NUMBER: _ClassVar[int]
    ksock: int
    message: _message_pb2.Message
    missed: int
    def __init__(self, message: _Optional[_Union[_message_pb2.Message, _Mapping]] = ..., ksock: _Optional[int] = ..., missed: _Optional[int] = ...) -> None: ...

class Replier(_message.Message):
    __slots__ = ["ksock", "link", "name", "network_id"]
    KSOCK_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NETWORK_ID_FIELD_NUMBER: _ClassVar[int]
    ksock: int
    link: str
    name: str
    network_id: int
    def __init__(self, ksock: _Optional[int] = ..., name: _Optional[str] = ..., link: _Optional[str] = ..., network_id: _Optional[int] = ...) -> None: ...

class SendRequest(_message.Message):
    __slots__ = ["data", "data_text", "flags", "name", "user_flags"]
    DATA_FIELD_NUMBER: _ClassVar[int]
    DATA_TEXT_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    USER_FLAGS_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    data_text: str
    flags: _containers.RepeatedScalarFieldContainer[Flag]
    name: str
    user_flags: int
    def __init__(self, name: _Optional[str] = ..., data: _Optional[bytes] = ..., data_text: _Optional[str] = ..., flags: _Optional[_Iterable[_Union[Flag, str]]] = ..., user_flags: _Optional[int] = ...) -> None: ...

class SendResponse(_message.Message):
    __slots__ = ["id_network", "id_serial"]
    ID_NETWORK_FIELD_NUMBER: _ClassVar[int]
    ID_SERIAL_FIELD_NUMBER: _ClassVar[int]
    id_network: int
    id_serial: int
    def __init__(self, id_network: _Optional[int] = ..., id_serial: _Optional[int] = ...) -> None: ...

class ServeBind(_message.Message):
    __slots__ = ["max_messages", "names"]
    MAX_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    max_messages: int
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, names: _Optional[_Iterable[str]] = ..., max_messages: _Optional[int] = ...) -> None: ...

class ServeBound(_message.Message):
    __slots__ = ["ksock"]
    KSOCK_FIELD_NUMBER: _ClassVar[int]
    ksock: int
    def __init__(self, ksock: _Optional[int] = ...) -> None: ...

class ServeRefused(_message.Message):
    __slots__ = ["errno", "message", "request_network", "request_serial"]
    ERRNO_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_NETWORK_FIELD_NUMBER: _ClassVar[int]
    REQUEST_SERIAL_FIELD_NUMBER: _ClassVar[int]
    errno: str
    message: str
    request_network: int
    request_serial: int
    def __init__(self, request_network: _Optional[int] = ..., request_serial: _Optional[int] = ..., errno: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class ServeReply(_message.Message):
    __slots__ = ["data", "data_text", "flags", "name", "request_network", "request_serial", "user_flags"]
    DATA_FIELD_NUMBER: _ClassVar[int]
    DATA_TEXT_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_NETWORK_FIELD_NUMBER: _ClassVar[int]
    REQUEST_SERIAL_FIELD_NUMBER: _ClassVar[int]
    USER_FLAGS_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    data_text: str
    flags: _containers.RepeatedScalarFieldContainer[Flag]
    name: str
    request_network: int
    request_serial: int
    user_flags: int
    def __init__(self, request_network: _Optional[int] = ..., request_serial: _Optional[int] = ..., data: _Optional[bytes] = ..., data_text: _Optional[str] = ..., name: _Optional[str] = ..., flags: _Optional[_Iterable[_Union[Flag, str]]] = ..., user_flags: _Optional[int] = ...) -> None: ...

class ServeRequest(_message.Message):
    __slots__ = ["bind", "reply"]
    BIND_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    bind: ServeBind
    reply: ServeReply
    def __init__(self, bind: _Optional[_Union[ServeBind, _Mapping]] = ..., reply: _Optional[_Union[ServeReply, _Mapping]] = ...) -> None: ...

class ServeResponse(_message.Message):
    __slots__ = ["bound", "refused", "request"]
    BOUND_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    bound: ServeBound
    refused: ServeRefused
    request: _message_pb2.Message
    def __init__(self, bound: _Optional[_Union[ServeBound, _Mapping]] = ..., request: _Optional[_Union[_message_pb2.Message, _Mapping]] = ..., refused: _Optional[_Union[ServeRefused, _Mapping]] = ...) -> None: ...

class WatchBindingsRequest(_message.Message):
    __slots__ = ["name"]
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class WatchBindingsResponse(_message.Message):
    __slots__ = ["bound", "restart", "unbound", "whole"]
    BOUND_FIELD_NUMBER: _ClassVar[int]
    RESTART_FIELD_NUMBER: _ClassVar[int]
    UNBOUND_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    bound: _containers.RepeatedCompositeFieldContainer[Binding]
    restart: bool
    unbound: _containers.RepeatedCompositeFieldContainer[Binding]
    whole: bool
    def __init__(self, restart: bool = ..., unbound: _Optional[_Iterable[_Union[Binding, _Mapping]]] = ..., bound: _Optional[_Iterable[_Union[Binding, _Mapping]]] = ..., whole: bool = ...) -> None: ...

class WatchRepliersRequest(_message.Message):
    __slots__ = ["name"]
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class WatchRepliersResponse(_message.Message):
    __slots__ = ["gone", "here", "restart", "whole"]
    GONE_FIELD_NUMBER: _ClassVar[int]
    HERE_FIELD_NUMBER: _ClassVar[int]
    RESTART_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    gone: _containers.RepeatedCompositeFieldContainer[Replier]
    here: _containers.RepeatedCompositeFieldContainer[Replier]
    restart: bool
    whole: bool
    def __init__(self, restart: bool = ..., gone: _Optional[_Iterable[_Union[Replier, _Mapping]]] = ..., here: _Optional[_Iterable[_Union[Replier, _Mapping]]] = ..., whole: bool = ...) -> None: ...

class Flag(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
