/** What long work tells about itself. The listener decides what to show. */
export interface ProgressEvent {
  /** What is being done, as the user would call it: "model.safetensors". One label is one line. */
  readonly label: string;
  /** So far, in `unit`. */
  readonly done: number;
  /** In all, when known. */
  readonly total?: number;
  /** Default "bytes". */
  readonly unit?: string;
  /** `true` on the last event of a label. */
  readonly finished?: boolean;
}

export type ProgressListener = (event: ProgressEvent) => void;
