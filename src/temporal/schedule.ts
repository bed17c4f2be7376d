import { type Client, type ScheduleDescription, ScheduleNotFoundError } from '@temporalio/client';

/** A schedule as Temporal describes it; undefined where there is none. */
export async function describeSchedule(
  client: Client,
  scheduleId: string,
): Promise<ScheduleDescription | undefined> {
  try {
    return await client.schedule.getHandle(scheduleId).describe();
  } catch (error) {
    if (error instanceof ScheduleNotFoundError) return undefined;
    throw error;
  }
}
