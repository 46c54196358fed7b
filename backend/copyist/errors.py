"""The one tree of errors that a person may see.

Each class carries a stable ``code``, the HTTP ``status`` it answers with, whether trying again can help (``retry``),
and a ``detail`` that tells the person the way out. Fill the detail's fields by keyword, as in
``TooManyPages(pages=9, limit=5)``. Internal text (paths, library messages) belongs in the log, never in ``detail``.
"""

from __future__ import annotations

from typing import ClassVar


class CopyistError(Exception):
    """Base of all errors that are shown to people. Raise a subclass."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    retry: ClassVar[bool] = False
    title: ClassVar[str] = "Something went wrong"
    template: ClassVar[str] = "Something went wrong on our side. The log has the reason."

    def __init__(self, **fields: object) -> None:
        self.fields = fields
        self.detail = self.template.format(**fields)
        super().__init__(self.detail)


# --- the upload -------------------------------------------------------------------------------------------------


class EmptyUpload(CopyistError):
    """The file has no bytes."""

    code, status, title = "empty_upload", 400, "The file is empty"
    template = "The file you sent has no bytes. Choose another file, or check that it was saved completely."


class MissingFile(CopyistError):
    """The form has no file under the expected name."""

    code, status, title = "missing_file", 400, "No file was sent"
    template = 'Send the file as the multipart field "{field}".'


class MalformedForm(CopyistError):
    """The body is not the form that its content type promises."""

    code, status, title = "malformed_form", 400, "The form cannot be read"
    template = "The body is not a complete multipart form. Send it as multipart/form-data, with its boundary."


class InvalidOption(CopyistError):
    """A field of the upload has a value we do not know."""

    code, status, title = "invalid_option", 422, "An option has a value that is not known"
    template = '"{value}" is not a value for {option}. Use {allowed}.'


class UnsupportedMedia(CopyistError):
    """The bytes are of no kind we can read."""

    code, status, title = "unsupported_media", 415, "This kind of file cannot be read"
    template = (
        "By its content this file is not one of the kinds that can be read: "
        "PDF, PNG, JPEG, TIFF, WebP, BMP, GIF, AVIF, HEIC or JPEG 2000."
    )


class FileTooLarge(CopyistError):
    """More bytes than ``MAX_BYTES``."""

    code, status, title = "file_too_large", 413, "The file is too large"
    template = "The file is larger than {limit_mb} MB, the limit of this server. Split it, or ask for a higher limit."


class TooManyPixels(CopyistError):
    """A page with more pixels than ``MAX_PIXELS``; refused before it is decoded."""

    code, status, title = "too_many_pixels", 413, "A page is too large"
    template = (
        "A page of {width} x {height} pixels is over the limit of {limit_mp} megapixels. Scan it at a lower resolution."
    )


class TooManyPages(CopyistError):
    """More pages than ``MAX_PAGES``."""

    code, status, title = "too_many_pages", 413, "The document has too many pages"
    template = "The document has {pages} pages; this server reads at most {limit}. Split it, or ask for some pages."


class DamagedFile(CopyistError):
    """The file is of a known kind but cannot be opened or decoded."""

    code, status, title = "damaged_file", 422, "The file is damaged"
    template = "The file looks like {kind} but it is damaged or cut short. Save or scan it again."


class NoPages(CopyistError):
    """A document with zero pages."""

    code, status, title = "no_pages", 422, "The document has no pages"
    template = "The document has no pages to read."


class OnePageOnly(CopyistError):
    """A result of several pages in a format that holds one."""

    code, status, title = "one_page_only", 422, "This format holds one page"
    template = "{format} holds one page a file, and this result has {pages}. Ask for one page of it, or for zip."


class PagesOutOfRange(CopyistError):
    """A page range that names pages the document does not have."""

    code, status, title = "pages_out_of_range", 422, "These pages do not exist"
    template = 'The pages "{pages}" are not in this document of {total} pages.'


class Encrypted(CopyistError):
    """A PDF that does not open without the right password."""

    code, status, title = "encrypted", 422, "The PDF is protected by a password"
    template = "The PDF is protected by a password. Send it again together with its password."


class WrongPassword(Encrypted):
    """The password that came with the upload does not open the PDF."""

    template = "The password does not open this PDF. Check it and send the file again."


class FileGone(CopyistError):
    """The bytes of an upload are not in the blob store."""

    code, status, title = "file_gone", 410, "The file is gone"
    template = "The file of this job is not in the storage any more. Send it again."


# --- a page -----------------------------------------------------------------------------------------------------


class PageFailed(CopyistError):
    """No engine of the chain made a reading of the page."""

    code, status, retry, title = "page_failed", 422, True, "The page could not be read"
    template = "No engine could read this page ({engines}). The page's trail says what each one answered."


class PageDamaged(CopyistError):
    """The page of a document cannot be rendered."""

    code, status, title = "page_damaged", 422, "The page is damaged"
    template = "Page {number} of the document is damaged and cannot be shown. The other pages are not affected."


class WorkerCrashed(CopyistError):
    """A page whose worker died every time it was read."""

    code, status, title = "worker_crashed", 422, "The page stopped its worker"
    template = (
        "Reading this page stopped its worker {attempts} times, so it was given up. Other pages are not affected."
    )


class IntakeCrashed(WorkerCrashed):
    """A file whose worker died every time it was looked into."""

    title = "The file stopped its worker"
    template = "Looking into this file stopped its worker {attempts} times, so it was given up. Save or scan it again."


class NoPageRead(CopyistError):
    """A job in which no page at all could be read."""

    code, status, retry, title = "no_page_read", 422, True, "No page could be read"
    template = "None of the {pages} pages could be read. The pages say why, one by one."


# --- the service ------------------------------------------------------------------------------------------------


class NotFound(CopyistError):
    """There is no such thing, or it is not yours."""

    code, status, title = "not_found", 404, "Not found"
    template = "There is no {what} with this id."


class NotReady(CopyistError):
    """The result is asked for before the job has ended."""

    code, status, retry, title = "not_ready", 409, True, "The result is not ready"
    template = "The job is {status}. Poll it until it is completed, or add ?wait=seconds."


class AlreadyEnded(CopyistError):
    """A job is to be cancelled that is not open any more."""

    code, status, title = "already_ended", 409, "The job has ended already"
    template = "The job is {status} and cannot be cancelled any more."


class NoResult(CopyistError):
    """The result is asked for of a job that ended without one."""

    code, status, title = "no_result", 409, "The job has no result"
    template = "The job ended as {status} and has no result."


class Unavailable(CopyistError):
    """The service cannot do this right now."""

    code, status, retry, title = "unavailable", 503, True, "Not available right now"
    template = "{what} is not available right now. Try again in a moment."


class StorageFull(CopyistError):
    """No room for the file: in the blob store, in the database or in the folder for temporary files."""

    code, status, retry, title = "storage_full", 507, True, "The server's disk is full"
    template = "The server's disk is full. Nothing was kept; ask its keeper to make room and send the file again."


class ConfigurationError(CopyistError):
    """A setting that cannot work; raised at start, with the way out."""

    code, title = "configuration", "A setting cannot work"
    template = "{problem}"


# --- files that are named, not sent ---------------------------------------------------------------------------------


class InvalidSource(CopyistError):
    """What should name a file is no address of one."""

    code, status, title = "invalid_source", 422, "This names no file"
    template = (
        "The file must be named by a complete file://, http://, https:// or data: address, without user and password "
        "in it. Spaces and other special signs are written percent-encoded."
    )


class FetchingOff(CopyistError):
    """A way of naming files that the settings do not open."""

    code, status, title = "fetching_off", 403, "This server does not fetch files that way"
    template = (
        "This server does not fetch {what}. Send the file itself or as a data: address, or ask whoever runs the server "
        "to set {setting}."
    )


class FolderRefused(CopyistError):
    """A ``file://`` outside of ``FETCH_FOLDERS``, also by way of a link; said of files that do not exist, too."""

    code, status, title = "folder_refused", 403, "The file is in no folder that is open"
    template = (
        "The file is in none of the folders that this server may read from. Move it there, or ask whoever runs the "
        "server to add its folder to FETCH_FOLDERS."
    )


class SourceMissing(CopyistError):
    """A ``file://`` in an open folder that is no file, or one that cannot be read."""

    code, status, title = "source_missing", 422, "There is no such file"
    template = "There is no file of that name which the server can read. Check the name, and who may read the file."


class AddressRefused(CopyistError):
    """A web address that leads into a private network, to this machine or to a port that is no web server's."""

    code, status, title = "address_refused", 403, "This address is not fetched"
    template = (
        "The address leads to a machine or a port that this server does not fetch from: only public web servers at "
        "ports 80 and 443. Send the file itself."
    )


class FetchFailed(CopyistError):
    """A web address that did not give the file."""

    code, status, retry, title = "fetch_failed", 422, True, "The file could not be fetched"
    template = "The address did not give the file. {reason} Check it in a browser, or send the file itself."


# --- answers that wait for a job ----------------------------------------------------------------------------------


class StillReading(CopyistError):
    """A route that answers with the text, and the job takes longer than a client may wait."""

    code, status, retry, title = "still_reading", 503, True, "The file is still being read"
    template = (
        "The job {job} is still {state} after {seconds:g} s. It goes on: fetch its result at /api/jobs/{job}/result.md "
        "later, or send the request again then."
    )


class OnlyPlaceholder(CopyistError):
    """A job that only the mock engine answered."""

    code, status, retry, title = "only_placeholder", 503, False, "No engine could read the file"
    template = (
        "No engine could read this file, or all of it, so its text would be a placeholder. The pages of the job {job} "
        "say why, and /api/engines says what is missing here."
    )


class NoFormulaEngine(CopyistError):
    """A formula is to be read, and nobody here can."""

    code, status, title = "no_formula_engine", 503, "No engine here reads formulas"
    template = (
        "No engine that writes formulas as LaTeX is ready, or none of them could read this one. Set up dots.ocr or an "
        "engine with the mode formula; /api/engines says which there are and what each one lacks."
    )


class ConversionTooLong(CopyistError):
    """The same as ``StillReading`` for clients of docling-serve, which know this status and can ask for the task."""

    code, status, title = "conversion_too_long", 504, "The conversion takes longer than a client may wait"
    template = (
        "The conversion takes longer than {seconds:g} s. It goes on: poll /v1/status/poll/{job}, and use the async "
        "route for long documents."
    )


# --- who asks, and how much --------------------------------------------------------------------------------------


class KeyMissing(CopyistError):
    """Nobody is let in without a key, or the key is none of ours."""

    code, status, title = "unauthorized", 401, "A key is needed"
    template = "Send a valid key in the header X-API-Key, or as Authorization: Bearer. {why}"


class KeyInQuery(CopyistError):
    """A key in an address stands in every log on its way."""

    code, status, title = "key_in_query", 400, "A key does not belong in an address"
    template = "Send the key in the header X-API-Key, not in the query. The one you sent should be replaced."


class Forbidden(CopyistError):
    """The key is good, but not for this."""

    code, status, title = "forbidden", 403, "The key does not allow this"
    template = "This needs a key with the scope {scope}."


class HostRefused(CopyistError):
    """Without keys only the names of this very machine are answered to."""

    code, status, title = "host_refused", 421, "This server does not go by that name"
    template = "Call it by a name of this machine, such as localhost, or list the name in ALLOWED_HOSTS."


class CrossSite(CopyistError):
    """A browser sent it for a page of another origin."""

    code, status, title = "cross_site", 403, "Pages of other origins may not do this"
    template = "The page that sent this is of another origin. List that in CORS_ORIGINS, or use API keys."


class AddressTooLong(CopyistError):
    """A query that nobody could have meant."""

    code, status, title = "address_too_long", 414, "The address is too long"
    template = "The query of the address has more than {limit_kb} kB. Send fewer parameters."


class HeadersTooLarge(CopyistError):
    """Headers that nobody could have meant."""

    code, status, title = "headers_too_large", 431, "The headers are too large"
    template = "The headers of the request have more than {limit_kb} kB. Send fewer, or shorter ones."


class TooManyRequests(CopyistError):
    """The client's quota is used up."""

    code, status, retry, title = "too_many_requests", 429, True, "Your quota is used up"
    template = "You may send {limit} files in {window}. Try again in {seconds} s."


class TooManyAtOnce(CopyistError):
    """The client has too many requests open."""

    code, status, retry, title = "too_many_at_once", 429, True, "Too many requests at once"
    template = "You may have {limit} uploads or waiting calls at once. Wait for one to end."


class TooManyOpenJobs(CopyistError):
    """Backpressure: the queue is as long as it may be."""

    code, status, retry, title = "queue_full", 503, True, "The queue is full"
    template = "{limit} jobs are waiting, and no more are taken until some have ended. Try again later."


class UploadStalled(CopyistError):
    """Half an upload, then silence."""

    code, status, retry, title = "upload_stalled", 408, True, "The upload stopped half way"
    template = "Nothing came for {seconds} s, so the upload was ended. Send the file again."


# --- the same request again --------------------------------------------------------------------------------------


class IdempotencyConflict(CopyistError):
    """The key was used for something else."""

    code, status, title = "idempotency_conflict", 422, "This Idempotency-Key was used for something else"
    template = "The same Idempotency-Key came with another file or other options. Use a new key for a new upload."


class IdempotencyInFlight(CopyistError):
    """The first request under the key is not over."""

    code, status, retry, title = "idempotency_in_flight", 409, True, "The same request is under way"
    template = "The first request with this Idempotency-Key has not ended yet. Ask again in a moment."


class Expired(CopyistError):
    """The job's time is over."""

    code, status, title = "expired", 410, "The job has expired"
    template = "The job was deleted when its time was over. Send the file again."


class TimeLimit(CopyistError):
    """The job, or one page of it, took longer than it may."""

    code, status, retry, title = "time_limit", 422, True, "The time limit is over"
    template = "It was not read within its time limit of {seconds} s. Raise the limit, or retry what is missing."


class NothingToRetry(CopyistError):
    """No page of the job failed."""

    code, status, title = "nothing_to_retry", 409, "There is nothing to retry"
    template = "The job is {status}, and none of its pages failed or was skipped."


class NotEnded(CopyistError):
    """What only an ended job can have done to it."""

    code, status, retry, title = "not_ended", 409, True, "The job has not ended"
    template = "The job is {status}. Wait until it has ended, or cancel it."


class NotAcceptable(CopyistError):
    """No result comes in a type that the client accepts."""

    code, status, title = "not_acceptable", 406, "The result does not come in this format"
    template = "Accept one of: {allowed}. Or choose by the path's ending, as in /result.txt."


# --- webhooks -----------------------------------------------------------------------------------------------------


class InvalidWebhook(CopyistError):
    """What should name a receiver of webhooks is no address of one."""

    code, status, title = "invalid_webhook", 422, "Nothing can be sent to this address"
    template = (
        "Webhooks go to a complete http:// or https:// address of at most {limit} letters, without user and password "
        "in it."
    )


class WebhookRefused(CopyistError):
    """A receiver in a private network, or on this machine."""

    code, status, title = "webhook_refused", 403, "Nothing is sent to this address"
    template = (
        "The address is of a private network or of this machine, where this server sends nothing. Use a public one, "
        "or ask whoever runs the server to set WEBHOOK_PRIVATE_ADDRESSES=true."
    )


class WebhooksOff(CopyistError):
    """The settings do not open webhooks."""

    code, status, title = "webhooks_off", 403, "This server sends no webhooks"
    template = "This server sends no webhooks. Poll the job, or ask whoever runs the server to set WEBHOOKS=true."


class NoWebhook(CopyistError):
    """A test of a webhook that has no address."""

    code, status, title = "no_webhook", 409, "There is no address to send to"
    template = "No address is set. Set one with PUT /api/webhooks, or name one as url in the body."


# --- corrections and learning ------------------------------------------------------------------------------------


class EmptyCorrection(CopyistError):
    """A corrected line, or a whole corrected text, with nothing in it."""

    code, status, title = "empty_correction", 422, "The correction is empty"
    template = (
        "The corrected text is empty, and nothing was changed. Send what stands on the line, or, where nothing stands, "
        '{{"nothing": true}} instead of a text.'
    )


class CorrectionTooLong(CopyistError):
    """More text than a line can hold."""

    code, status, title = "correction_too_long", 422, "The corrected line is too long"
    template = "A line holds at most {limit} characters, and this one has {length}. Nothing was changed."


class StaleCorrection(CopyistError):
    """Somebody else corrected the line meanwhile."""

    code, status, title = "stale_correction", 409, "The line was corrected meanwhile"
    template = (
        'Somebody corrected this line to "{text}" since you looked. Look at it again, and send your text with '
        '"parent": {revision}.'
    )


class LinesDoNotMatch(CopyistError):
    """A corrected text that cannot be laid beside the lines that were read."""

    code, status, title = "lines_do_not_match", 422, "The corrected text does not fit the lines"
    template = (
        "The text has {sent} lines and {read} were read. {problem} Keep one line of text for each line that was read; "
        "nothing was changed."
    )


class NoLines(CopyistError):
    """A correction for pages without a single line."""

    code, status, title = "no_lines", 409, "There is no line to correct"
    template = "No line was read on these pages, so there is nothing to correct. Corrections begin at a line."


class TooFewLines(CopyistError):
    """Training is asked for, and there is too little to learn from."""

    code, status, retry, title = "too_few_lines", 409, True, "There are too few corrected lines"
    template = (
        "{have} corrected or confirmed lines can be learned from, and {needed} are needed: {missing} are missing. "
        "{hint}"
    )


class RunActive(CopyistError):
    """Training is asked for while a run goes on."""

    code, status, retry, title = "run_active", 409, True, "A training run is under way"
    template = "The run {run} is {status}. One runs at a time: wait for it, or cancel it."


class RunEnded(CopyistError):
    """A run is to be cancelled that is over."""

    code, status, title = "run_ended", 409, "The run has ended already"
    template = "The run is {status} and cannot be cancelled any more."


class TrainingOff(CopyistError):
    """Training is asked for where it is switched off."""

    code, status, title = "training_off", 403, "This server does not learn"
    template = "Training is switched off here by the setting TRAINING. Ask whoever runs the server to set it to auto."


class NothingToRollBack(CopyistError):
    """A roll back is asked for, and the model as published serves already."""

    code, status, title = "nothing_to_roll_back", 409, "There is nothing to roll back"
    template = "The model as it was published serves already. /api/training/models lists the versions there are."


class CannotPromote(CopyistError):
    """A version that cannot become the champion."""

    code, status, title = "cannot_promote", 409, "This version cannot be promoted"
    template = "Version {version} cannot be promoted: {reason}"


class TrainingFailed(CopyistError):
    """A run that came to nothing; the champion is what it was."""

    code, status, retry, title = "training_failed", 500, True, "The training run failed"
    template = "{reason} The champion serves on."


class BaseModelMissing(TrainingFailed):
    """The model that training begins from is not there, or damaged."""

    code, status, title = "base_model_missing", 409, "The base model is not there"
    template = "Training begins from the published TrOCR model, which cannot be used: {reason} The champion serves on."


class TrainerLost(TrainingFailed):
    """A run whose process was gone, again and again."""

    code, title = "trainer_lost", "The trainer was lost"
    template = "The process of this run was gone {attempts} times before it was done. The champion serves on."


# --- formulas ----------------------------------------------------------------------------------------------------


class NothingFound(CopyistError):
    """A picture without a formula, sent to somebody who answers with one."""

    code, status, title = "nothing_found", 422, "There is nothing to read"
    template = "{reason} Send a picture that holds one formula, dark on light or light on dark."


class TooManyPictures(CopyistError):
    """More pictures of formulas in one call than it takes."""

    code, status, title = "too_many_pictures", 422, "The batch has too many pictures"
    template = "A batch holds at most {limit} pictures, and this one has {sent}. Send the others in another call."


class FormulaDataMissing(CopyistError):
    """A folder that is to be trained on, and holds no formulas."""

    code, status, title = "formula_data_missing", 422, "There are no formulas to learn from"
    template = (
        "{reason} Name a folder of MathWriting (train, valid, test with .inkml files), of CROHME, one with a "
        "labels.csv (image,latex), or make one: `copyist formula generate DIR`."
    )
