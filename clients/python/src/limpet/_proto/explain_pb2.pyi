from google.protobuf import duration_pb2 as _duration_pb2
from . import message_pb2 as _message_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
EXPLAIN_END_BUSY: ExplainEnd
EXPLAIN_END_CLASSIC: ExplainEnd
EXPLAIN_END_DETACHED: ExplainEnd
EXPLAIN_END_HIDDEN: ExplainEnd
EXPLAIN_END_NOT_LINKED: ExplainEnd
EXPLAIN_END_NO_ANSWER: ExplainEnd
EXPLAIN_END_OLD_PEER: ExplainEnd
EXPLAIN_END_TOO_FAR: ExplainEnd
EXPLAIN_END_TOO_LARGE: ExplainEnd
EXPLAIN_END_UNLISTED: ExplainEnd
EXPLAIN_END_UNSPECIFIED: ExplainEnd
EXPLAIN_KIND_ANNOUNCEMENT: ExplainKind
EXPLAIN_KIND_REQUEST: ExplainKind
EXPLAIN_KIND_STATEFUL_REQUEST: ExplainKind
EXPLAIN_KIND_UNSPECIFIED: ExplainKind

class ExplainAddress(_message.Message):
    __slots__ = ["ksock", "network"]
    KSOCK_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    ksock: int
    network: int
    def __init__(self, network: _Optional[int] = ..., ksock: _Optional[int] = ...) -> None: ...

class ExplainAnswer(_message.Message):
    __slots__ = ["hop", "id"]
    HOP_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    hop: ExplainHop
    id: int
    def __init__(self, id: _Optional[int] = ..., hop: _Optional[_Union[ExplainHop, _Mapping]] = ...) -> None: ...

class ExplainBranch(_message.Message):
    __slots__ = ["end", "link", "message", "network", "next", "request", "rule", "stop", "took", "why"]
    END_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    TOOK_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    end: ExplainEnd
    link: str
    message: _message_pb2.Message
    network: int
    next: ExplainHop
    request: bool
    rule: ExplainRule
    stop: ExplainStop
    took: _duration_pb2.Duration
    why: str
    def __init__(self, link: _Optional[str] = ..., network: _Optional[int] = ..., request: bool = ..., message: _Optional[_Union[_message_pb2.Message, _Mapping]] = ..., rule: _Optional[_Union[ExplainRule, _Mapping]] = ..., stop: _Optional[_Union[ExplainStop, _Mapping]] = ..., end: _Optional[_Union[ExplainEnd, str]] = ..., why: _Optional[str] = ..., took: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., next: _Optional[_Union[ExplainHop, _Mapping]] = ...) -> None: ...

class ExplainClaim(_message.Message):
    __slots__ = ["denied", "link", "name"]
    DENIED_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    denied: bool
    link: str
    name: str
    def __init__(self, link: _Optional[str] = ..., name: _Optional[str] = ..., denied: bool = ...) -> None: ...

class ExplainHop(_message.Message):
    __slots__ = ["branches", "claims", "listeners", "message", "more_branches", "more_listeners", "network", "replier", "rule", "stop", "told"]
    BRANCHES_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_FIELD_NUMBER: _ClassVar[int]
    LISTENERS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    MORE_BRANCHES_FIELD_NUMBER: _ClassVar[int]
    MORE_LISTENERS_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    REPLIER_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    TOLD_FIELD_NUMBER: _ClassVar[int]
    branches: _containers.RepeatedCompositeFieldContainer[ExplainBranch]
    claims: _containers.RepeatedCompositeFieldContainer[ExplainClaim]
    listeners: _containers.RepeatedCompositeFieldContainer[ExplainRecipient]
    message: _message_pb2.Message
    more_branches: int
    more_listeners: int
    network: int
    replier: ExplainRecipient
    rule: ExplainRule
    stop: ExplainStop
    told: ExplainOutcome
    def __init__(self, network: _Optional[int] = ..., message: _Optional[_Union[_message_pb2.Message, _Mapping]] = ..., rule: _Optional[_Union[ExplainRule, _Mapping]] = ..., stop: _Optional[_Union[ExplainStop, _Mapping]] = ..., claims: _Optional[_Iterable[_Union[ExplainClaim, _Mapping]]] = ..., replier: _Optional[_Union[ExplainRecipient, _Mapping]] = ..., listeners: _Optional[_Iterable[_Union[ExplainRecipient, _Mapping]]] = ..., more_listeners: _Optional[int] = ..., branches: _Optional[_Iterable[_Union[ExplainBranch, _Mapping]]] = ..., more_branches: _Optional[int] = ..., told: _Optional[_Union[ExplainOutcome, _Mapping]] = ...) -> None: ...

class ExplainOutcome(_message.Message):
    __slots__ = ["answer", "by", "errno", "heard", "unseen"]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    ERRNO_FIELD_NUMBER: _ClassVar[int]
    HEARD_FIELD_NUMBER: _ClassVar[int]
    UNSEEN_FIELD_NUMBER: _ClassVar[int]
    answer: str
    by: ExplainAddress
    errno: str
    heard: bool
    unseen: ExplainEnd
    def __init__(self, by: _Optional[_Union[ExplainAddress, _Mapping]] = ..., answer: _Optional[str] = ..., errno: _Optional[str] = ..., heard: bool = ..., unseen: _Optional[_Union[ExplainEnd, str]] = ...) -> None: ...

class ExplainQuestion(_message.Message):
    __slots__ = ["hops", "id", "max_bytes", "message", "within_ms"]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    WITHIN_MS_FIELD_NUMBER: _ClassVar[int]
    hops: int
    id: int
    max_bytes: int
    message: _message_pb2.Message
    within_ms: int
    def __init__(self, id: _Optional[int] = ..., message: _Optional[_Union[_message_pb2.Message, _Mapping]] = ..., hops: _Optional[int] = ..., max_bytes: _Optional[int] = ..., within_ms: _Optional[int] = ...) -> None: ...

class ExplainRecipient(_message.Message):
    __slots__ = ["binding", "denied", "ksock", "link", "no_room"]
    BINDING_FIELD_NUMBER: _ClassVar[int]
    DENIED_FIELD_NUMBER: _ClassVar[int]
    KSOCK_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    NO_ROOM_FIELD_NUMBER: _ClassVar[int]
    binding: str
    denied: ExplainRule
    ksock: int
    link: str
    no_room: bool
    def __init__(self, ksock: _Optional[int] = ..., binding: _Optional[str] = ..., link: _Optional[str] = ..., denied: _Optional[_Union[ExplainRule, _Mapping]] = ..., no_room: bool = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ["final_to_local", "final_to_network", "identity", "kind", "link", "name", "network", "to", "within"]
    FINAL_TO_LOCAL_FIELD_NUMBER: _ClassVar[int]
    FINAL_TO_NETWORK_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    WITHIN_FIELD_NUMBER: _ClassVar[int]
    final_to_local: int
    final_to_network: int
    identity: str
    kind: ExplainKind
    link: str
    name: str
    network: int
    to: int
    within: _duration_pb2.Duration
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[ExplainKind, str]] = ..., link: _Optional[str] = ..., identity: _Optional[str] = ..., network: _Optional[int] = ..., final_to_network: _Optional[int] = ..., final_to_local: _Optional[int] = ..., to: _Optional[int] = ..., within: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ["hearers", "hop", "outcome"]
    HEARERS_FIELD_NUMBER: _ClassVar[int]
    HOP_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    hearers: _containers.RepeatedCompositeFieldContainer[ExplainAddress]
    hop: ExplainHop
    outcome: ExplainOutcome
    def __init__(self, outcome: _Optional[_Union[ExplainOutcome, _Mapping]] = ..., hearers: _Optional[_Iterable[_Union[ExplainAddress, _Mapping]]] = ..., hop: _Optional[_Union[ExplainHop, _Mapping]] = ...) -> None: ...

class ExplainRule(_message.Message):
    __slots__ = ["action", "allowed", "of_link", "rule", "text"]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    OF_LINK_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    action: str
    allowed: bool
    of_link: bool
    rule: int
    text: str
    def __init__(self, action: _Optional[str] = ..., allowed: bool = ..., rule: _Optional[int] = ..., of_link: bool = ..., text: _Optional[str] = ...) -> None: ...

class ExplainStop(_message.Message):
    __slots__ = ["answer", "errno", "reason"]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    ERRNO_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    answer: str
    errno: str
    reason: str
    def __init__(self, reason: _Optional[str] = ..., answer: _Optional[str] = ..., errno: _Optional[str] = ...) -> None: ...

class ExplainKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class ExplainEnd(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
